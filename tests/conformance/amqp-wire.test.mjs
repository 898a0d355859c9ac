// AMQP itself, spoken by rhea without an SDK above it: each way in, and the corners of the protocol that SDKs leave to the hub.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import rhea from 'rhea';
import { AmqpWire, batch, batchFormat, data, event, eventsAddress, mechanisms, send } from './amqp-wire.mjs';
import * as hub from './hub.mjs';

const deadline = { timeout: 60_000 };
const files = mkdtempSync(path.join(os.tmpdir(), 'sallyport-amqp-'));

before(() => hub.start());
after(async () => {
  await hub.stop();
  rmSync(files, { recursive: true, force: true });
});

const telemetry = ({ deviceId }) => `/devices/${deviceId}/messages/events`;
const range = count => Array.from({ length: count }, (_, n) => n);
const numbers = async deviceId => (await hub.events(deviceId)).map(stored => stored.body.n);
const refused = condition => error => { assert.equal(error.condition, condition, String(error)); return true; };
const label = hostName => hostName.split('.')[0];

/** A device, its connection and its telemetry link. */
async function connected(name, options) {
  const device = await hub.device(name);
  const wire = await AmqpWire.open(options);
  assert.equal(await wire.putDevice(device), 200);
  return { device, wire, link: await wire.sender(telemetry(device)) };
}

/** A device with `count` events, and the partition that holds them with the number of the first. */
async function filled(name, count) {
  const { device, wire, link } = await connected(name);
  for (const n of range(count)) await send(link, data({ n }));
  await wire.close();
  const [{ partition, sequenceNumber }] = await hub.events(device.deviceId);
  return { device, partition, first: sequenceNumber };
}

/** A connection that may read, and a receiver from a device's first event. */
async function reading({ partition, first }, options, open) {
  const wire = await AmqpWire.open(open);
  assert.equal(await wire.putOwner(), 200);
  const receiver = await wire.receiver(eventsAddress(partition), options, `amqp.annotation.x-opt-sequence-number >= '${first}'`);
  return { wire, receiver };
}

const bodyOf = message => JSON.parse(message.body.content);

for (const carrier of ['tls', 'ws']) {
  for (const [mechanism, options] of Object.entries(mechanisms)) {
    test(`Connection_WithSasl_${mechanism}_Over_${carrier}_IsLetInByPutToken`, deadline, async () => {
      const device = await hub.device('sasl');
      const wire = await AmqpWire.open(options, carrier);
      await assert.rejects(wire.sender(telemetry(device)), refused('amqp:unauthorized-access'));
      assert.equal(await wire.putDevice(device), 200);
      assert.equal(await send(await wire.sender(telemetry(device)), data({ n: 0 })), 'accepted');
      await wire.close();
      assert.deepEqual(await numbers(device.deviceId), [0]);
    });
  }

  test(`Connection_WithSaslPlainAndADevicesTokenOver_${carrier}_NeedsNoPutToken`, deadline, async () => {
    const device = await hub.device('plain');
    const password = hub.sas(`${device.hostName}/devices/${device.deviceId}`, device.key);
    const wire = await AmqpWire.open({ username: `${device.deviceId}@sas.${label(device.hostName)}`, password }, carrier);
    assert.equal(await send(await wire.sender(telemetry(device)), data({ n: 0 })), 'accepted');
    await wire.close();
    assert.deepEqual(await numbers(device.deviceId), [0]);
  });
}

test('Connection_WithSaslPlainAndAPolicysToken_ReadsAndSends', deadline, async () => {
  const { HostName, SharedAccessKey } = hub.parts(hub.endpoints().ownerConnectionString);
  const device = await hub.device('plain-policy');
  const wire = await AmqpWire.open({
    username: `iothubowner@sas.root.${label(HostName)}`, password: hub.sas(HostName, SharedAccessKey, { policy: 'iothubowner' }),
  });
  assert.equal(await send(await wire.sender(telemetry(device)), data({ n: 0 })), 'accepted');
  const [{ partition }] = await hub.events(device.deviceId);
  await wire.receiver(eventsAddress(partition));
  await wire.close();
});

test('Connection_WithSaslPlainAndAKeyAsItIs_IsRefused_AndTheAuditTrailSaysTheKeyIsExposed', deadline, async () => {
  const { SharedAccessKey } = hub.parts(hub.endpoints().serviceConnectionString);
  await assert.rejects(AmqpWire.open({ username: 'service', password: SharedAccessKey }), /authenticate/);
  const entries = await hub.cliJson(['audit', 'list', '--top', '50']);
  assert.ok(JSON.stringify(entries).includes('policy key-exposed'));
});

test('Connection_WithSaslPlainAndAWrongPassword_IsRefused', deadline, async () => {
  const device = await hub.device('plain-wrong');
  const password = hub.sas(`${device.hostName}/devices/${device.deviceId}`, Buffer.alloc(32, 1).toString('base64'));
  await assert.rejects(AmqpWire.open({ username: `${device.deviceId}@sas.${label(device.hostName)}`, password }), /authenticate/);
});

for (const [mechanism, options] of Object.entries({ EXTERNAL: { enable_sasl_external: true }, none: {} })) {
  test(`Connection_WithACertificateAndSasl_${mechanism}_NeedsNoToken`, deadline, async () => {
    const deviceId = `certificate-${process.pid}-${mechanism.toLowerCase()}`;
    const file = name => path.join(files, `${deviceId}.${name}`);
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', `/CN=${deviceId}`, '-keyout', file('key'), '-out', file('crt')], { stdio: 'pipe' });
    const thumbprint = execFileSync('openssl', ['x509', '-in', file('crt'), '-noout', '-fingerprint', '-sha256']).toString().split('=')[1].replaceAll(':', '').trim();
    await hub.cliJson(['device-identity', 'create', '-d', deviceId, '--am', 'x509_thumbprint', '--ptp', thumbprint, '--stp', thumbprint]);
    const wire = await AmqpWire.open({ cert: readFileSync(file('crt')), key: readFileSync(file('key')), ...options });
    assert.equal(await send(await wire.sender(telemetry({ deviceId })), data({ n: 0 })), 'accepted');
    await wire.close();
    assert.deepEqual(await numbers(deviceId), [0]);
  });
}

test('Put_OfWhatIsNoTokenOrNotAccepted_IsAnswered_AndTheConnectionGoesOn', deadline, async () => {
  const device = await hub.device('puts');
  const resource = `${device.hostName}/devices/${device.deviceId}`;
  const wire = await AmqpWire.open();
  for (const [token, status] of [
    ['not a token', 401],
    [hub.sas(resource, device.key, { seconds: -3600 }), 401],
    [hub.sas(resource, Buffer.alloc(32, 1).toString('base64')), 401],
    [hub.sas(`${device.hostName}/devices/nobody-${process.pid}`, device.key), 401],
    [hub.sas(`other.example.org/devices/${device.deviceId}`, device.key), 401],
  ]) assert.equal(await wire.put(resource, token), status, token);
  assert.equal(await wire.putDevice(device), 200);
  assert.equal(await send(await wire.sender(telemetry(device)), data({ n: 0 })), 'accepted');
  await wire.close();
});

test('Link_ToAnotherDevicesAddress_IsUnauthorized_AndTheOwnGoesOn', deadline, async () => {
  const victim = await hub.device('victim');
  const { device, wire, link } = await connected('thief');
  for (const address of ['messages/events', 'messages/devicebound', 'methods/devicebound', 'twin'].map(rest => `/devices/${victim.deviceId}/${rest}`)) {
    await assert.rejects(wire.sender(address), refused('amqp:unauthorized-access'), address);
    await assert.rejects(wire.receiver(address), refused('amqp:unauthorized-access'), address);
  }
  await assert.rejects(wire.sender('/messages/devicebound'), refused('amqp:unauthorized-access'));
  await assert.rejects(wire.receiver(eventsAddress(0)), refused('amqp:unauthorized-access'));
  assert.equal(await send(link, data({ n: 0 })), 'accepted');
  await wire.close();
  assert.deepEqual(await numbers(victim.deviceId), []);
  assert.deepEqual(await numbers(device.deviceId), [0]);
});

test('Link_TheWrongWayRound_IsRefusedAsNotImplemented_AndTelemetryGoesOn', deadline, async () => {
  const { device, wire, link } = await connected('lacking');
  await assert.rejects(wire.receiver(`/devices/${device.deviceId}/messages/events`), refused('amqp:not-implemented'));
  await send(link, data({ n: 0 }));
  await assert.rejects(wire.sender(`/devices/${device.deviceId}/messages/devicebound`), refused('amqp:not-implemented'));
  await send(link, data({ n: 0 }));
  await wire.close();
  assert.equal((await numbers(device.deviceId)).length, 2);
});

test('Link_ToNothing_IsNotFound', deadline, async () => {
  const { wire, link } = await connected('nothing');
  for (const address of ['nowhere', '', '/devices/', 'devices/a/b/c/d/e/f/g/h/i/j']) {
    await assert.rejects(wire.sender(address || undefined), refused('amqp:not-found'), address);
    await assert.rejects(wire.receiver(address || undefined), refused('amqp:not-found'), address);
  }
  await send(link, data({ n: 0 }));
  await wire.close();
});

test('Devices_OfOneConnection_SendWithTokensOfTheirOwn_AndOneThatIsDeletedLeavesTheOthers', deadline, async () => {
  const wire = await AmqpWire.open();
  const devices = [];
  for (const n of range(10)) {
    const device = await hub.device(`pooled-${n}`);
    assert.equal(await wire.putDevice(device), 200);
    devices.push({ ...device, link: await wire.sender(telemetry(device)) });
  }
  await Promise.all(devices.map(({ link }) => send(link, data({ n: 0 }))));
  const [gone, ...others] = devices;
  const detached = event(gone.link, 'sender_close');
  await hub.request('DELETE', `/devices/${gone.deviceId}?api-version=2021-04-12`, { headers: { 'if-match': '*' } });
  await detached;
  assert.equal(gone.link.error.condition, 'amqp:not-found');
  await Promise.all(others.map(({ link }) => send(link, data({ n: 1 }))));
  await wire.close();
  for (const { deviceId } of others) assert.deepEqual(await numbers(deviceId), [0, 1]);
});

test('Batch_IsStoredAsSeparateMessages_WithOneOutcome', deadline, async () => {
  const { device, wire, link } = await connected('batch');
  const messages = range(50).map(n => data({ n }, { message_id: `m-${n}`, application_properties: { place: `p${n}` } }));
  assert.equal(await send(link, batch(messages), batchFormat), 'accepted');
  await wire.close();
  const stored = await hub.events(device.deviceId);
  assert.deepEqual(stored.map(one => one.body.n), range(50));
  assert.deepEqual(stored.map(one => one.systemProperties['message-id']), range(50).map(n => `m-${n}`));
  assert.equal(stored[49].properties.place, 'p49');
});

test('Batch_WithOneMessageThatCannotBeRead_IsRejectedWhole_AndTheLinkGoesOn', deadline, async () => {
  const { device, wire, link } = await connected('bad-batch');
  const broken = rhea.message.encode({ body: rhea.message.data_sections([rhea.message.encode(data({ n: 0 })), Buffer.from([0, 0x53, 0x99, 0x40])]) });
  await assert.rejects(send(link, broken, batchFormat), /./);
  assert.equal(await send(link, data({ n: 1 })), 'accepted');
  await wire.close();
  assert.deepEqual(await numbers(device.deviceId), [1]);
});

test('Properties_OfEveryAmqpType_ComeAsText', deadline, async () => {
  const { device, wire, link } = await connected('types');
  const uuid = randomUUID();
  await send(link, data({ n: 0 }, {
    message_id: rhea.types.wrap_uuid(Buffer.from(uuid.replaceAll('-', ''), 'hex')),
    correlation_id: rhea.types.wrap_ulong(7),
    application_properties: {
      text: 'x', yes: true, int: rhea.types.wrap_int(-5), long: rhea.types.wrap_long(1 << 30), double: rhea.types.wrap_double(0.5),
      time: rhea.types.wrap_timestamp(0), nothing: null,
    },
  }));
  await wire.close();
  const [stored] = await hub.events(device.deviceId);
  assert.equal(stored.systemProperties['message-id'], uuid);
  assert.equal(stored.systemProperties['correlation-id'], '7');
  assert.deepEqual(stored.properties, {
    text: 'x', yes: 'true', int: '-5', long: String(1 << 30), double: '0.5', time: '1970-01-01T00:00:00.0000000Z', nothing: null,
  });
});

test('Frames_Of512Bytes_CarryALongMessageBothWays', deadline, async () => {
  const { device, wire, link } = await connected('small-frames', { max_frame_size: 512 });
  const filling = 'x'.repeat(100_000);
  assert.equal(await send(link, data({ n: 0, filling })), 'accepted');
  await wire.close();
  const [{ partition, sequenceNumber: first }] = await hub.events(device.deviceId);
  const reader = await reading({ partition, first }, {}, { max_frame_size: 512 });
  reader.receiver.add_credit(1);
  const { message } = await event(reader.receiver, 'message');
  assert.deepEqual(bodyOf(message), { n: 0, filling });
  await reader.wire.close();
});

test('Credit_OfOneAtATime_DeliversEachEventOnceAndNoneMore', deadline, async () => {
  const source = await filled('one-credit', 10);
  const { wire, receiver } = await reading(source);
  const arrived = [];
  receiver.on('message', ({ message }) => arrived.push(bodyOf(message).n));
  for (const n of range(10)) {
    const next = event(receiver, 'message');
    receiver.add_credit(1);
    await next;
    assert.deepEqual(arrived, range(n + 1));
  }
  await wire.close();
});

// No idle time-out here, so nothing but the event itself makes the hub write.
test('Readers_AtTheTail_GetEachEventBeforeTheNextIsSent', deadline, async () => {
  const { device, wire, link } = await connected('tail');
  await send(link, data({ n: 0 }));
  const [{ partition, sequenceNumber: first }] = await hub.events(device.deviceId);
  const readers = [];
  for (let i = 0; i < 4; i++) readers.push(await reading({ partition, first }));
  for (const { receiver } of readers) receiver.add_credit(1000);
  await Promise.all(readers.map(({ receiver }) => event(receiver, 'message')));
  for (let n = 1; n <= 300; n++) {
    const arrivals = readers.map(({ receiver }) => event(receiver, 'message'));
    await send(link, data({ n }));
    for (const { message } of await Promise.all(arrivals)) assert.equal(bodyOf(message).n, n);
  }
  await Promise.all([wire, ...readers.map(({ wire }) => wire)].map(each => each.close()));
});

for (const [credit, events] of [[10, 3], [3, 10]]) {
  test(`Drain_With${credit}CreditsAnd${events}Events_DeliversWhatThereIs_AndSpendsTheRest`, deadline, async () => {
    const source = await filled(`drain-${credit}`, events);
    const { wire, receiver } = await reading(source);
    const arrived = [];
    receiver.on('message', ({ message }) => { if (message.message_annotations['iothub-connection-device-id'] === source.device.deviceId) arrived.push(bodyOf(message).n); });
    receiver.add_credit(credit);
    const drained = event(receiver, 'receiver_drained', 'receiver_close');
    receiver.drain_credit();
    if (credit > events) await drained;
    else while (arrived.length < credit) await event(receiver, 'message');
    assert.deepEqual(arrived, range(Math.min(credit, events)));
    assert.equal(receiver.credit, 0);
    receiver.drain = false;
    receiver.add_credit(5);
    if (events > credit) while (arrived.length < credit + 5) await event(receiver, 'message');
    await wire.close();
  });
}

test('Reader_ThatStartsAtTheHub_IsRedirectedToTheEventHub', deadline, async () => {
  const wire = await AmqpWire.open();
  await assert.rejects(wire.receiver('/messages/events/ConsumerGroups/$Default/Partitions/0'), refused('amqp:unauthorized-access'));
  assert.equal(await wire.putOwner(), 200);
  for (const address of ['/messages/events', 'messages/events/ConsumerGroups/$Default/Partitions/0', 'messages/events/$management']) {
    await assert.rejects(wire.receiver(address), error => {
      const { hostName, amqpsPort } = hub.endpoints();
      assert.equal(error.condition, 'amqp:link:redirect');
      assert.equal(error.info.hostname, hostName);
      assert.equal(error.info['network-host'], hostName);
      assert.equal(error.info.port, amqpsPort);
      assert.match(error.info.address, new RegExp(`^amqps://${hostName}:${amqpsPort}/events/`));
      return true;
    });
  }
  await wire.close();
});

test('Selector_ThatCannotBeRead_IsRefusedWithASentence', deadline, async () => {
  const wire = await AmqpWire.open();
  await wire.putOwner();
  await assert.rejects(wire.receiver(eventsAddress(0), {}, "amqp.annotation.x-opt-offset > '0' AND 1 = 1"), error => error.condition === 'amqp:invalid-field' && /whole number|one comparison/.test(error.message));
  await wire.close();
});

for (const [kind, options] of Object.entries({ unsettled: { snd_settle_mode: 0, autoaccept: false }, settled: { snd_settle_mode: 1 }, mixed: {} })) {
  test(`Reader_ThatWantsEvents_${kind}_GetsThemSo`, deadline, async () => {
    const source = await filled(`settling-${kind}`, 3);
    const { wire, receiver } = await reading(source, options);
    const arrived = [];
    const all = new Promise(resolve => receiver.on('message', ({ message, delivery }) => {
      arrived.push(bodyOf(message).n);
      assert.equal(delivery.remote_settled, kind !== 'unsettled');
      if (!delivery.remote_settled) delivery.accept();
      if (arrived.length === 3) resolve();
    }));
    receiver.add_credit(3);
    await all;
    assert.deepEqual(arrived, range(3));
    await wire.close();
  });
}
