import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import iotCommon from 'azure-iot-common';
import iotDevice from 'azure-iot-device';
import iotAmqp from 'azure-iot-device-amqp';
import iotHttp from 'azure-iot-device-http';
import iotMqtt from 'azure-iot-device-mqtt';
import * as hub from './hub.mjs';

const { Client, Message } = iotDevice;
const transports = { mqtt: iotMqtt.Mqtt, 'mqtt-ws': iotMqtt.MqttWs, https: iotHttp.Http, amqp: iotAmqp.Amqp, 'amqp-ws': iotAmqp.AmqpWs };

// The hub accepts a token five minutes longer than it says: this one ends a few seconds from now.
const lastSeconds = -300 + 4;

before(() => hub.start());
after(hub.stop);

const isUnauthorized = error => error.name === 'UnauthorizedError' || error.constructor.name === 'UnauthorizedError';
const send = (client, n) => client.sendEvent(new Message(JSON.stringify({ n })));
const sent = async deviceId => [...new Set((await hub.events(deviceId)).map(event => event.body.n))];
const reasons = async deviceId => (await hub.cliJson(['device', 'diagnose', deviceId])).attempts.map(attempt => attempt.reason);

for (const [name, transport] of Object.entries(transports)) {
  test(`Token_ThatEndsOver_${name}_IsRefusedFromThenOn_AndANewOneIsLetIn`, async () => {
    const { deviceId, hostName, key } = await hub.device('expiring');
    const client = Client.fromSharedAccessSignature(hub.sas(`${hostName}/devices/${deviceId}`, key, { seconds: lastSeconds }), transport);
    client.setRetryPolicy(new iotCommon.NoRetry());
    const cut = new Promise(resolve => client.once('disconnect', resolve));
    await client.open();
    await send(client, 0);
    if (name === 'https') {
      // No connection to cut: the next request after the end is refused.
      let refused;
      for (const end = Date.now() + 20_000; !refused && Date.now() < end;) {
        await send(client, 0).catch(error => { refused = error; });
      }
      assert.ok(isUnauthorized(refused), String(refused));
    } else {
      await cut;
    }
    client.removeAllListeners();
    await client.close().catch(() => {});
    assert.ok((await reasons(deviceId)).some(reason => /the token expired/.test(reason)));

    const next = Client.fromSharedAccessSignature(hub.sas(`${hostName}/devices/${deviceId}`, key), transport);
    await next.open();
    await send(next, 1);
    await next.close();
    assert.deepEqual(await sent(deviceId), [0, 1]);
  });

  test(`Keys_RotatedFromPrimaryToSecondaryOver_${name}_LoseNothing`, async () => {
    const { deviceId, hostName, key } = await hub.device('rotating');
    const { authentication } = await hub.cliJson(['device-identity', 'show', '-d', deviceId]);
    const resource = `${hostName}/devices/${deviceId}`;
    const client = Client.fromSharedAccessSignature(hub.sas(resource, key), transport);
    await client.open();
    await send(client, 0);
    await client.updateSharedAccessSignature(hub.sas(resource, authentication.symmetricKey.secondaryKey));
    await send(client, 1);
    await hub.cliJson(['device-identity', 'renew-key', '-d', deviceId, '--key-type', 'primary']);
    await send(client, 2);
    await client.close();
    assert.deepEqual(await sent(deviceId), [0, 1, 2]);
    const old = Client.fromSharedAccessSignature(hub.sas(resource, key), transport);
    old.setRetryPolicy(new iotCommon.NoRetry());
    await assert.rejects(old.open().then(() => send(old, 3)), isUnauthorized);
    old.removeAllListeners();
    await old.close().catch(() => {});
  });
}

test('Token_ThatIsRevoked_IsCutOff_AndTheDiagnosisSaysWhy', async () => {
  const { deviceId, hostName, key } = await hub.device('revoked');
  const token = hub.sas(`${hostName}/devices/${deviceId}`, key);
  const client = Client.fromSharedAccessSignature(token, iotMqtt.Mqtt);
  client.setRetryPolicy(new iotCommon.NoRetry());
  await client.open();
  const cut = new Promise(resolve => client.once('disconnect', resolve));
  const { code } = await hub.cli(['token', 'revoke', '-'], { input: token });
  assert.equal(code, 0);
  await cut;
  client.removeAllListeners();
  await client.close().catch(() => {});
  assert.ok((await reasons(deviceId)).some(reason => /revoked/.test(reason)));
});
