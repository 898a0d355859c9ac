// The axes of the matrix: how a device speaks, and as whom.
import iotDevice from 'azure-iot-device';
import iotAmqp from 'azure-iot-device-amqp';
import iotHttp from 'azure-iot-device-http';
import iotMqtt from 'azure-iot-device-mqtt';
import * as hub from '../hub.mjs';

const { Client, ModuleClient, X509AuthenticationProvider } = iotDevice;

export const transports = {
  mqtt: { name: 'MQTT', short: 'm', of: iotMqtt.Mqtt },
  'mqtt-ws': { name: 'MQTT over WebSocket', short: 'mw', of: iotMqtt.MqttWs },
  amqp: { name: 'AMQP', short: 'a', of: iotAmqp.Amqp },
  'amqp-ws': { name: 'AMQP over WebSocket', short: 'aw', of: iotAmqp.AmqpWs },
  https: { name: 'HTTPS', short: 'h', of: iotHttp.Http },
};

/** Who: `create` registers one and answers its identity, `client` makes its client, `stranger` one that holds something else than its credential. */
export const kinds = {
  'device-key': { name: 'device, key', credential: 'sas', create: name => hub.device(name), client: byKey, stranger: byWrongKey },
  'device-thumbprint': { name: 'device, own certificate', credential: 'x509', create: pinned, client: byCertificate, stranger: byOtherCertificate },
  'device-ca': { name: 'device, certificate of an authority', credential: 'x509', create: vouchedFor, client: byCertificate, stranger: byOtherCertificate },
  'module-key': { name: 'module, key', credential: 'sas', isModule: true, create: async name => hub.module((await hub.device(name)).deviceId, 'm1'), client: byKey, stranger: byWrongKey },
  'module-thumbprint': { name: 'module, own certificate', credential: 'x509', isModule: true, create: pinned, client: byCertificate, stranger: byOtherCertificate },
  'module-ca': { name: 'module, certificate of an authority', credential: 'x509', isModule: true, create: vouchedFor, client: byCertificate, stranger: byOtherCertificate },
};

const clientOf = identity => (identity.moduleId ? ModuleClient : Client);

function byKey(identity, transport) {
  return clientOf(identity).fromConnectionString(identity.connectionString, transport);
}

function byWrongKey(identity, transport) {
  return byKey({ ...identity, connectionString: identity.connectionString.replace(/SharedAccessKey=.*/, `SharedAccessKey=${Buffer.alloc(32, 1).toString('base64')}`) }, transport);
}

// The SDK's factory refuses modules with certificates, what it makes them of does not.
function byCertificate(identity, transport, x509 = identity.x509) {
  const { deviceId, moduleId } = identity;
  return clientOf(identity).fromAuthenticationProvider(new X509AuthenticationProvider({ host: hub.endpoints().hostName, deviceId, moduleId, x509 }), transport);
}

function byOtherCertificate(identity, transport, certificates) {
  return byCertificate(identity, transport, certificates.selfSigned(identity.moduleId ?? identity.deviceId, certificates.name('stranger')));
}

async function put(route, body) {
  const { status, text } = await hub.request('PUT', `${route}?api-version=2021-04-12`, { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  if (status !== 200) throw new Error(`registering ${route}: ${status} ${text}`);
}

/** Registers a device, or a device and its module, that is let in as `authentication` says. */
async function registered(name, isModule, authentication) {
  const deviceId = name;
  if (!isModule) {
    await put(`/devices/${deviceId}`, { deviceId, authentication });
    return { deviceId };
  }

  await put(`/devices/${deviceId}`, { deviceId });
  await put(`/devices/${deviceId}/modules/m1`, { deviceId, moduleId: 'm1', authentication });
  return { deviceId, moduleId: 'm1' };
}

async function pinned(name, { certificates, isModule }) {
  const id = certificates.name(name);
  const x509 = certificates.selfSigned(id);
  return { ...await registered(id, isModule, { type: 'selfSigned', x509Thumbprint: { primaryThumbprint: x509.thumbprint } }), x509 };
}

async function vouchedFor(name, { certificates, authority, isModule }) {
  const id = certificates.name(name);
  const identity = await registered(id, isModule, { type: 'certificateAuthority' });
  return { ...identity, x509: certificates.signed(authority, isModule ? `${id}/m1` : id, id) };
}
