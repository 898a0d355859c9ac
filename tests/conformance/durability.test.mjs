// kill -9 while an unmodified SDK client writes: what was acknowledged is there afterwards, and nothing was invented.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import iotCommon from 'azure-iot-common';
import iotDevice from 'azure-iot-device';
import iotMqtt from 'azure-iot-device-mqtt';
import * as hub from './hub.mjs';

const { NoRetry } = iotCommon;
const { Client, Message } = iotDevice;
const rounds = Number(process.env.SALLYPORT_KILL_ROUNDS ?? 3);

before(() => hub.start());
after(hub.stop);

test(`Kill9_WhileAClientWrites_LosesNothingAcknowledged_${rounds}_rounds`, async () => {
  const { deviceId, connectionString } = await hub.device('killed');
  const sent = new Set();
  const acknowledged = new Set();
  let n = 0;

  for (let round = 0; round < rounds; round++) {
    const client = Client.fromConnectionString(connectionString, iotMqtt.Mqtt);
    client.setRetryPolicy(new NoRetry());
    client.on('error', () => {});
    await client.open();
    const enough = 50 + Math.floor(Math.random() * 400);
    let count = 0;
    await new Promise(resolve => {
      let killing = false;
      const sendNext = () => {
        if (killing) return;
        const mine = n++;
        sent.add(mine);
        client.sendEvent(new Message(JSON.stringify({ n: mine }))).then(() => {
          acknowledged.add(mine);
          if (++count === enough) {
            killing = true;
            hub.kill9().then(resolve);
          } else {
            sendNext();
          }
        }, () => {});
      };
      for (let i = 0; i < 50; i++) sendNext();
    });
    client.removeAllListeners();
    await client.close().catch(() => {});
    await hub.start();
  }

  const arrived = (await hub.events(deviceId)).map(event => event.body.n);
  const stored = new Set(arrived);
  const lost = [...acknowledged].filter(mine => !stored.has(mine));
  const invented = arrived.filter(mine => !sent.has(mine));
  assert.ok(acknowledged.size >= rounds * 50);
  assert.deepEqual(lost, []);
  assert.deepEqual(invented, []);
  console.log(`kill -9: ${rounds} rounds, ${acknowledged.size} acknowledged, ${stored.size} stored, 0 lost, 0 invented`);
});
