import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import iotDevice from 'azure-iot-device';
import iotAmqp from 'azure-iot-device-amqp';
import iotHttp from 'azure-iot-device-http';
import iotMqtt from 'azure-iot-device-mqtt';
import * as hub from './hub.mjs';

const { Client, Message } = iotDevice;
const transports = { mqtt: iotMqtt.Mqtt, 'mqtt-ws': iotMqtt.MqttWs, https: iotHttp.Http, amqp: iotAmqp.Amqp, 'amqp-ws': iotAmqp.AmqpWs };
const files = mkdtempSync(path.join(os.tmpdir(), 'sallyport-certificates-'));

before(() => hub.start());
after(async () => {
  await hub.stop();
  rmSync(files, { recursive: true, force: true });
});

const isUnauthorized = error => error.name === 'UnauthorizedError' || error.constructor.name === 'UnauthorizedError';
const openssl = (...args) => execFileSync('openssl', args, { cwd: files, stdio: ['ignore', 'pipe', 'pipe'] }).toString();
const read = name => readFileSync(path.join(files, name), 'utf8');

let serial = 0;
const named = name => `${name}-${process.pid}-${++serial}`;

/** A certificate that vouches for itself, as Azure's tutorial makes one; answers its key, and its SHA-256 thumbprint. */
function selfSigned(name) {
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.crt`);
  const thumbprint = openssl('x509', '-in', `${name}.crt`, '-noout', '-fingerprint', '-sha256').split('=')[1].replaceAll(':', '').trim();
  return { cert: read(`${name}.crt`), key: read(`${name}.key`), thumbprint };
}

/** An authority of our own. */
function authority(name) {
  openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', `/CN=${name}`, '-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-keyout', `${name}.key`, '-out', `${name}.crt`);
}

/** A certificate that the authority signs; with `ca` one that may sign others. */
function signed(issuer, name, file, { ca = false } = {}) {
  openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${name}`, '-keyout', `${file}.key`, '-out', `${file}.csr`,
    '-addext', `basicConstraints=critical,CA:${ca ? 'TRUE' : 'FALSE'}`, '-addext', ca ? 'keyUsage=critical,keyCertSign,cRLSign' : 'keyUsage=critical,digitalSignature', ...(ca ? [] : ['-addext', 'extendedKeyUsage=clientAuth']));
  openssl('x509', '-req', '-in', `${file}.csr`, '-CA', `${issuer}.crt`, '-CAkey', `${issuer}.key`, '-CAcreateserial', '-days', '10', '-copy_extensions', 'copy', '-out', `${file}.crt`);
  return { cert: read(`${file}.crt`), key: read(`${file}.key`) };
}

async function send(deviceId, transport, { cert, key }) {
  const client = Client.fromConnectionString(`HostName=${hub.endpoints().hostName};DeviceId=${deviceId};x509=true`, transport);
  try {
    // Over HTTPS the SDK takes them at once and never says so.
    const set = client.setOptions({ cert, key });
    if (transport !== iotHttp.Http) await set;
    await client.open();
    await client.sendEvent(new Message('{"n":1}'));
  } finally {
    client.removeAllListeners();
    await client.close().catch(() => {});
  }
}

async function assertArrived(deviceId) {
  const arrived = await hub.events(deviceId);
  assert.equal(arrived.length, 1);
  const method = JSON.parse(arrived[0].annotations['iothub-connection-auth-method']);
  assert.deepEqual({ scope: method.scope, type: method.type, issuer: method.issuer }, { scope: 'device', type: 'x509', issuer: 'external' });
}

for (const [name, transport] of Object.entries(transports)) {
  test(`Device_WithAThumbprintOver_${name}_Sends_AndWithAnotherCertificateIsUnauthorized`, async () => {
    const deviceId = named('pinned');
    const [first, second, other] = [selfSigned(`${deviceId}-1`), selfSigned(`${deviceId}-2`), selfSigned(`${deviceId}-3`)];
    await hub.cliJson(['device-identity', 'create', '-d', deviceId, '--am', 'x509_thumbprint', '--ptp', first.thumbprint, '--stp', second.thumbprint]);
    await send(deviceId, transport, second);
    await assertArrived(deviceId);
    await assert.rejects(send(deviceId, transport, other), isUnauthorized);
  });

  test(`Device_OfAnAuthorityOver_${name}_Sends_AndIsUnauthorizedWithoutIt`, async () => {
    const deviceId = named('signed');
    const ca = named('ca');
    authority(ca);
    await hub.cliJson(['device-identity', 'create', '-d', deviceId, '--am', 'x509_ca']);
    const leaf = signed(ca, deviceId, deviceId);
    await assert.rejects(send(deviceId, transport, leaf), isUnauthorized);

    await hub.cliJson(['certificate', 'create', '-n', ca, '--path', path.join(files, `${ca}.crt`)]);
    const { properties } = await hub.cliJson(['certificate', 'generate-verification-code', '-n', ca]);
    signed(ca, properties.verificationCode, `${ca}-proof`);
    await hub.cliJson(['certificate', 'verify', '-n', ca, '--path', path.join(files, `${ca}-proof.crt`)]);
    await send(deviceId, transport, leaf);
    await assertArrived(deviceId);

    await assert.rejects(send(deviceId, transport, signed(ca, 'somebody-else', `${deviceId}-else`)), isUnauthorized);
    assert.equal((await hub.cli(['certificate', 'delete', '-n', ca, '--yes'])).code, 0);
    await assert.rejects(send(deviceId, transport, leaf), isUnauthorized);
  });

  test(`Device_ThroughAnIntermediateOver_${name}_Sends`, async () => {
    const deviceId = named('below');
    const ca = named('root');
    authority(ca);
    await hub.cliJson(['certificate', 'create', '-n', ca, '--path', path.join(files, `${ca}.crt`), '--verified']);
    await hub.cliJson(['device-identity', 'create', '-d', deviceId, '--am', 'x509_ca']);
    signed(ca, `${ca}-line`, `${ca}-line`, { ca: true });
    const leaf = signed(`${ca}-line`, deviceId, deviceId);
    await send(deviceId, transport, { cert: leaf.cert + read(`${ca}-line.crt`), key: leaf.key });
    await assertArrived(deviceId);
  });
}
