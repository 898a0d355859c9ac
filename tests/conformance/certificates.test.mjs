import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import iotDevice from 'azure-iot-device';
import iotAmqp from 'azure-iot-device-amqp';
import iotHttp from 'azure-iot-device-http';
import iotMqtt from 'azure-iot-device-mqtt';
import { Certificates } from './certificates.mjs';
import * as hub from './hub.mjs';

const { Client, Message } = iotDevice;
const transports = { mqtt: iotMqtt.Mqtt, 'mqtt-ws': iotMqtt.MqttWs, https: iotHttp.Http, amqp: iotAmqp.Amqp, 'amqp-ws': iotAmqp.AmqpWs };
const certificates = new Certificates();
const named = name => certificates.name(name);

before(() => hub.start());
after(async () => {
  await hub.stop();
  certificates.remove();
});

const isUnauthorized = error => error.name === 'UnauthorizedError' || error.constructor.name === 'UnauthorizedError';

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

test('Device_WithItsSecondaryThumbprint_Sends', async () => {
  const deviceId = named('pinned');
  const [first, second] = [certificates.selfSigned(`${deviceId}-1`), certificates.selfSigned(`${deviceId}-2`)];
  await hub.cliJson(['device-identity', 'create', '-d', deviceId, '--am', 'x509_thumbprint', '--ptp', first.thumbprint, '--stp', second.thumbprint]);
  await send(deviceId, iotMqtt.Mqtt, second);
  await assertArrived(deviceId);
});

for (const [name, transport] of Object.entries(transports)) {
  test(`Device_OfAnAuthorityOver_${name}_Sends_AndIsUnauthorizedWithoutIt`, async () => {
    const deviceId = named('signed');
    const ca = named('ca');
    certificates.authority(ca);
    await hub.cliJson(['device-identity', 'create', '-d', deviceId, '--am', 'x509_ca']);
    const leaf = certificates.signed(ca, deviceId, deviceId);
    await assert.rejects(send(deviceId, transport, leaf), isUnauthorized);

    await hub.cliJson(['certificate', 'create', '-n', ca, '--path', certificates.path(`${ca}.crt`)]);
    const { properties } = await hub.cliJson(['certificate', 'generate-verification-code', '-n', ca]);
    certificates.signed(ca, properties.verificationCode, `${ca}-proof`);
    await hub.cliJson(['certificate', 'verify', '-n', ca, '--path', certificates.path(`${ca}-proof.crt`)]);
    await send(deviceId, transport, leaf);
    await assertArrived(deviceId);

    await assert.rejects(send(deviceId, transport, certificates.signed(ca, 'somebody-else', `${deviceId}-else`)), isUnauthorized);
    assert.equal((await hub.cli(['certificate', 'delete', '-n', ca, '--yes'])).code, 0);
    await assert.rejects(send(deviceId, transport, leaf), isUnauthorized);
  });

  test(`Device_ThroughAnIntermediateOver_${name}_Sends`, async () => {
    const deviceId = named('below');
    const ca = named('root');
    certificates.authority(ca);
    await hub.cliJson(['certificate', 'create', '-n', ca, '--path', certificates.path(`${ca}.crt`), '--verified']);
    await hub.cliJson(['device-identity', 'create', '-d', deviceId, '--am', 'x509_ca']);
    certificates.signed(ca, `${ca}-line`, `${ca}-line`, { ca: true });
    const leaf = certificates.signed(`${ca}-line`, deviceId, deviceId);
    await send(deviceId, transport, { cert: leaf.cert + certificates.read(`${ca}-line.crt`), key: leaf.key });
    await assertArrived(deviceId);
  });
}
