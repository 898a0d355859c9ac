// File upload: azure-iot-device asks for a URI, writes a file to it and reports; azure-iothub is told; the file is what was sent.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import { after, before, test as untimed } from 'node:test';
import * as storage from '@azure/storage-blob';
import device from 'azure-iot-device';
import { Amqp, AmqpWs } from 'azure-iot-device-amqp';
import { Http } from 'azure-iot-device-http';
import { Mqtt, MqttWs } from 'azure-iot-device-mqtt';
import iothub from 'azure-iothub';
import * as hub from './hub.mjs';

// What does not come never comes: a test ends at its deadline.
const test = (name, act, timeout = 60_000) => untimed(name, { timeout }, act);
const transports = { mqtt: Mqtt, 'mqtt-ws': MqttWs, amqp: Amqp, 'amqp-ws': AmqpWs, https: Http };
const files = mkdtempSync(path.join(os.tmpdir(), 'sallyport-uploads-'));
const told = new Map();
const waiting = new Map();
let service;

before(async () => {
  const { ownerConnectionString } = await hub.start();
  service = iothub.Client.fromConnectionString(ownerConnectionString, iothub.Amqp);
  await service.open();
  await listen();
});
after(async () => {
  await service.close();
  await hub.stop();
  rmSync(files, { recursive: true, force: true });
});

/** Takes file notifications as they come; `notified` waits for that of a file. */
async function listen() {
  const receiver = await new Promise((resolve, reject) => service.getFileNotificationReceiver((error, made) => error ? reject(error) : resolve(made)));
  receiver.on('message', message => {
    const notification = JSON.parse(message.data.toString());
    told.set(notification.blobName, notification);
    waiting.get(notification.blobName)?.(notification);
  });
}

const notified = blobName => told.has(blobName) ? told.get(blobName) : new Promise(resolve => waiting.set(blobName, resolve));

/** The hub has ended: starts it, and listens anew. */
async function restarted() {
  await hub.start();
  service.close().catch(() => {}); // Of a connection that is gone: it may never answer.
  service = iothub.Client.fromConnectionString(hub.endpoints().ownerConnectionString, iothub.Amqp);
  await service.open();
  await listen();
}

/** Reads a file through a URL that the hub hands out to services. */
async function read(deviceId, blobName) {
  const { status, text } = await hub.request('POST', `/manage/v1/devices/${encodeURIComponent(deviceId)}/files/read`, { body: JSON.stringify({ blobName }) });
  assert.equal(status, 200, text);
  return new storage.BlobClient(JSON.parse(text).uri).downloadToBuffer();
}

for (const [name, transport] of Object.entries(transports)) {
  test(`Upload_OfADeviceOver_${name}_ReachesTheHub_AndServicesAreTold`, async () => {
    const { deviceId, connectionString } = await hub.device(`up-${name}`);
    const client = device.Client.fromConnectionString(connectionString, transport);
    const content = randomBytes(10_240);
    await client.open();
    await client.uploadToBlob('dir/b c.bin', Readable.from(content), content.length);
    const notification = await notified(`${deviceId}/dir/b c.bin`);
    assert.equal(notification.deviceId, deviceId);
    assert.equal(notification.blobSizeInBytes, content.length);
    assert.equal(notification.blobUri, `https://${hub.endpoints().hostName}/uploads/${deviceId}/dir/b%20c.bin`);
    assert.ok(Date.parse(notification.enqueuedTimeUtc) > 0 && Date.parse(notification.lastUpdatedTime) > 0);
    assert.deepEqual(await read(deviceId, 'dir/b c.bin'), content);
    await client.close();
  });
}

/** An upload as the older API of the SDK has it: ask for a URI, write with any client, report. */
async function begin(connectionString, blobName, transport = Http) {
  const client = device.Client.fromConnectionString(connectionString, transport);
  const place = await client.getBlobSharedAccessSignature(blobName);
  return { client, place, uri: `https://${place.hostName}/${place.containerName}/${encodeURIComponent(place.blobName)}${place.sasToken}` };
}

const isRefused = (status, code) => error => error.statusCode === status && (code === undefined || error.code === code || error.details?.errorCode === code || error.details?.code === code);

for (const kind of ['self-signed', 'authority']) {
  for (const [name, transport] of Object.entries({ mqtt: Mqtt, amqp: Amqp, https: Http })) {
    test(`Upload_OfADeviceWithACertificateOf_${kind}_Over_${name}_ReachesTheHub`, async () => {
      const id = `up-x509-${kind}-${name}`;
      const openssl = (...args) => execFileSync('openssl', args, { cwd: files, stdio: ['ignore', 'pipe', 'pipe'] }).toString();
      if (kind === 'self-signed') {
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '3', '-subj', `/CN=${id}`, '-keyout', `${id}.key`, '-out', `${id}.crt`);
        const thumbprint = openssl('x509', '-in', `${id}.crt`, '-noout', '-fingerprint', '-sha256').split('=')[1].replaceAll(':', '').trim();
        await hub.cliJson(['device-identity', 'create', '-d', id, '--am', 'x509_thumbprint', '--ptp', thumbprint]);
      } else {
        openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '3', '-subj', `/CN=root-${id}`, '-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-keyout', `root-${id}.key`, '-out', `root-${id}.crt`);
        const made = await hub.cli(['certificate', 'create', '-n', `root-${id}`, '-p', path.join(files, `root-${id}.crt`), '-v']);
        assert.equal(made.code, 0, made.stderr);
        await hub.cliJson(['device-identity', 'create', '-d', id, '--am', 'x509_ca']);
        openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${id}`, '-keyout', `${id}.key`, '-out', `${id}.csr`,
          '-addext', 'keyUsage=critical,digitalSignature', '-addext', 'extendedKeyUsage=clientAuth');
        openssl('x509', '-req', '-in', `${id}.csr`, '-CA', `root-${id}.crt`, '-CAkey', `root-${id}.key`, '-CAcreateserial', '-days', '3', '-copy_extensions', 'copy', '-out', `${id}.crt`);
      }

      const client = device.Client.fromConnectionString(`HostName=${hub.endpoints().hostName};DeviceId=${id};x509=true`, transport);
      const set = client.setOptions({ cert: readFileSync(path.join(files, `${id}.crt`), 'utf8'), key: readFileSync(path.join(files, `${id}.key`), 'utf8') });
      if (transport !== Http) await set;
      await client.uploadToBlob('x.bin', Readable.from(Buffer.from('by certificate')), 14);
      assert.equal((await notified(`${id}/x.bin`)).blobSizeInBytes, 14);
      assert.equal((await read(id, 'x.bin')).toString(), 'by certificate');
      await client.close().catch(() => {});
    });
  }
}

// What device ids may hold, but for the semicolon, which ends a connection string; and names with all that has a meaning somewhere.
for (const [what, id, name] of [
  ['punctuation in the id', "up-%41.-+_*?!(),=@$':#x", 'a.bin'],
  ['one of each in the id', "up%?#%2F", 'b.bin'],
  ['punctuation in the name', 'up-names', "dir//a b+c%20d%25?e#f&g=h'i;j,k!*()[]{}|^~`<>@$:\\x.txt"],
  ['a signature in the name', 'up-names-2', 'x?sv=2020&sig=y'],
  ['dots in the name', 'up-names-3', '.../..a/.b/c..'],
]) {
  test(`Upload_With_${what.replaceAll(' ', '_')}_IsWrittenWhereItIsRead`, async () => {
    await hub.cliJson(['device-identity', 'create', '-d', id]);
    const { connectionString } = await hub.cliJson(['device-identity', 'connection-string', 'show', '-d', id]);
    const client = device.Client.fromConnectionString(connectionString, Http);
    // One way of making a URL of it is the SDK's, without encoding; the other one is the C# SDK's and everybody's who follows the documents.
    await client.uploadToBlob(name, Readable.from(Buffer.from(`sdk ${name}`)), 10);
    assert.equal((await notified(`${id}/${name}`)).blobName, `${id}/${name}`);
    assert.equal((await read(id, name)).toString(), `sdk ${name}`);
    assert.equal((await new Promise((resolve, reject) => https.get(told.get(`${id}/${name}`).blobUri, resolve).on('error', reject))).statusCode, 403);
    told.delete(`${id}/${name}`);

    const { place, uri } = await begin(connectionString, name);
    await new storage.BlockBlobClient(uri).upload('encoded', 7);
    await client.notifyBlobUploadStatus(place.correlationId, true, 200, '');
    assert.equal((await notified(`${id}/${name}`)).blobSizeInBytes, 7);
    assert.equal((await read(id, name)).toString(), 'encoded');
    const listed = JSON.parse((await hub.request('GET', `/manage/v1/devices/${encodeURIComponent(id)}/files`)).text);
    assert.deepEqual(listed.map(file => [file.blobName, file.sizeBytes]), [[`${id}/${name}`, 7]]);
    await client.close().catch(() => {});
  });
}

test('Upload_WithANameThatIsNotAscii_IsWrittenWhereItIsRead', async () => {
  const { deviceId, connectionString, hostName, key } = await hub.device('up-unicode');
  const name = 'ü/€ 😀.txt';
  // The SDK counts the characters of its request, not its bytes: by hand.
  const authorization = hub.sas(`${hostName}/devices/${deviceId}`, key);
  const { status, text } = await hub.request('POST', `/devices/${deviceId}/files?api-version=2021-04-12`, { headers: { authorization }, body: JSON.stringify({ blobName: name }) });
  assert.equal(status, 200, text);
  const place = JSON.parse(text);
  assert.equal(place.blobName, `${deviceId}/${name}`);
  await new storage.BlockBlobClient(`https://${place.hostName}/${place.containerName}/${encodeURIComponent(place.blobName)}${place.sasToken}`).upload('x', 1);
  const client = device.Client.fromConnectionString(connectionString, Http);
  await client.notifyBlobUploadStatus(place.correlationId, true, 200, 'OK');
  assert.equal((await notified(`${deviceId}/${name}`)).blobName, `${deviceId}/${name}`);
  assert.equal((await read(deviceId, name)).toString(), 'x');
});

test('Uri_OfAnUpload_WritesOneFile_AndReadsListsAndDeletesNothing', async () => {
  const [one, two] = [await hub.device('up-grant'), await hub.device('up-grant')];
  const { client, place, uri } = await begin(one.connectionString, 'a.txt');
  const blob = new storage.BlockBlobClient(uri);
  await blob.upload('mine', 4);
  await assert.rejects(blob.downloadToBuffer(), isRefused(403));
  await assert.rejects(blob.getProperties(), isRefused(403));
  await assert.rejects(blob.delete(), isRefused(403));
  const root = `https://${place.hostName}/${place.containerName}`;
  await assert.rejects(new storage.ContainerClient(root + place.sasToken).listBlobsFlat().next(), error => error.statusCode >= 400);
  for (const other of [`${two.deviceId}/a.txt`, `${one.deviceId}/b.txt`, `${one.deviceId}/a.txt/x`, `${one.deviceId}/A.txt`, '../a.txt']) {
    await assert.rejects(new storage.BlockBlobClient(`${root}/${encodeURIComponent(other)}${place.sasToken}`).upload('theirs', 6), isRefused(403), other);
  }
  for (const [what, changed] of Object.entries({
    end: place.sasToken.replace(/se=[^&]*/, 'se=2099-01-01T00%3A00%3A00Z'), right: place.sasToken.replace('sp=cw', 'sp=r'),
    upload: place.sasToken.replace(/si=./, m => m === 'si=0' ? 'si=1' : 'si=0'), signature: place.sasToken.replace(/sig=./, m => m === 'sig=A' ? 'sig=B' : 'sig=A'),
  })) {
    await assert.rejects(new storage.BlockBlobClient(uri.replace(place.sasToken, changed)).upload('x', 1), isRefused(403), what);
  }

  assert.equal((await read(one.deviceId, 'a.txt')).toString(), 'mine');
  await client.notifyBlobUploadStatus(place.correlationId, true, 201, 'Created');
  await assert.rejects(blob.upload('after', 5), isRefused(403));
  await client.notifyBlobUploadStatus(place.correlationId, true, 201, 'Created'); // Said again: nothing.
  await client.notifyBlobUploadStatus(place.correlationId, false, 500, '');
  assert.equal((await read(one.deviceId, 'a.txt')).toString(), 'mine');
});

test('Uri_OfADeviceThatIsDisabledOrDeleted_IsDead_AlsoForABodyThatIsUnderWay', async () => {
  const { deviceId, connectionString } = await hub.device('up-disabled');
  const { uri } = await begin(connectionString, 'a.bin');
  const target = new URL(uri);
  const sent = https.request({ host: target.hostname, port: target.port || 443, method: 'PUT', path: target.pathname + target.search, headers: { 'x-ms-blob-type': 'BlockBlob', 'content-length': 1 << 20 } });
  const answered = new Promise(resolve => { sent.on('response', response => resolve(response.statusCode)); sent.on('error', error => resolve(error.code)); });
  sent.write(Buffer.alloc(1 << 16));
  await new Promise(resolve => setTimeout(resolve, 300)); // It is being received.
  await hub.cliJson(['device-identity', 'update', '-d', deviceId, '--status', 'disabled']);
  sent.write(Buffer.alloc(1 << 16));
  assert.ok([403, 'ECONNRESET', 'EPIPE'].includes(await answered));
  sent.destroy();
  const blob = new storage.BlockBlobClient(uri);
  await assert.rejects(blob.upload('x', 1), isRefused(403));
  await hub.cliJson(['device-identity', 'update', '-d', deviceId, '--status', 'enabled']);
  await blob.upload('x', 1);
  await hub.cli(['device-identity', 'delete', '-d', deviceId, '-y']);
  await assert.rejects(blob.upload('y', 1), isRefused(403));
  await hub.cliJson(['device-identity', 'create', '-d', deviceId]);
  await assert.rejects(blob.upload('z', 1), isRefused(403)); // Another device of the same name.
});

test('Uploads_BeyondTen_AreRefused_UntilOneIsReported_AlsoAfterARestart', async () => {
  const { connectionString } = await hub.device('up-ten');
  const open = [];
  for (let i = 0; i < 10; i++) open.push((await begin(connectionString, `${i}`)).place);
  const eleventh = () => begin(connectionString, '10');
  const isFull = error => error.response?.statusCode === 403 && /DeviceMaximumActiveFileUploadLimitExceeded/.test(error.responseBody ?? error.message);
  await assert.rejects(eleventh(), isFull);
  await hub.kill9();
  await restarted();
  await assert.rejects(eleventh(), isFull);
  const client = device.Client.fromConnectionString(connectionString, Http);
  await client.notifyBlobUploadStatus(open[3].correlationId, false, 500, 'gave up');
  await eleventh();
});

test('Blocks_PutBeforeTheHubIsKilled_AreThereAfterIt', async () => {
  const { deviceId, connectionString } = await hub.device('up-killed');
  const { client, place, uri } = await begin(connectionString, 'a.bin');
  const blob = new storage.BlockBlobClient(uri);
  const ids = ['b1', 'b2', 'b3'].map(id => Buffer.from(id).toString('base64'));
  const blocks = ids.map(() => randomBytes(300_000));
  for (let i = 0; i < 2; i++) await blob.stageBlock(ids[i], blocks[i], blocks[i].length);
  await hub.kill9();
  await restarted();
  await blob.stageBlock(ids[2], blocks[2], blocks[2].length);
  await assert.rejects(blob.commitBlockList([...ids, Buffer.from('b4').toString('base64')]), isRefused(400));
  await blob.commitBlockList(ids);
  await blob.commitBlockList(ids); // As after an answer that was lost.
  await client.notifyBlobUploadStatus(place.correlationId, true, 201, '');
  assert.equal((await notified(`${deviceId}/a.bin`)).blobSizeInBytes, 900_000);
  assert.deepEqual(await read(deviceId, 'a.bin'), Buffer.concat(blocks));
});

test('BlobEndpoint_AsTheStorageClientUsesIt_ChecksDigestsConditionsAndRanges', async () => {
  const { deviceId, connectionString } = await hub.device('up-rest');
  const { uri } = await begin(connectionString, 'a.txt');
  const blob = new storage.BlockBlobClient(uri);
  const content = Buffer.from('0123456789');
  const md5 = createHash('md5').update(content).digest();
  await assert.rejects(blob.upload(content, 10, { blobHTTPHeaders: {}, transactionalContentMD5: createHash('md5').update('other').digest() }).then(() => blob.stageBlock('YWE=', content, 10, { transactionalContentMD5: createHash('md5').update('other').digest() })), isRefused(400));
  const first = await blob.upload(content, 10, { blobHTTPHeaders: { blobContentType: 'text/plain', blobContentMD5: md5 }, conditions: { ifNoneMatch: undefined } });
  assert.match(first.etag, /^"0x[0-9A-F]+"$/);
  assert.ok(first.lastModified instanceof Date && first.requestId && first.version);
  await assert.rejects(blob.upload('again', 5, { conditions: { ifNoneMatch: '*' } }), isRefused(409));
  await assert.rejects(blob.upload('again', 5, { conditions: { ifMatch: '"0x0"' } }), isRefused(412));
  const crc = Buffer.from(BigUint64Array.of(0xAE8B14860A799888n).buffer); // Of the digits 1 to 9, from the catalogue of CRCs.
  await blob.stageBlock('YWE=', '123456789', 9, { transactionalContentCrc64: crc });
  await assert.rejects(blob.stageBlock('YWI=', '123456780', 9, { transactionalContentCrc64: crc }), isRefused(400));
  await assert.rejects(blob.stageBlock('not base64', 'x', 1), isRefused(400));

  const { text } = await hub.request('POST', `/manage/v1/devices/${deviceId}/files/read`, { body: JSON.stringify({ blobName: 'a.txt', minutes: 1 }) });
  const reader = new storage.BlobClient(JSON.parse(text).uri);
  const properties = await reader.getProperties();
  assert.deepEqual([properties.contentLength, properties.contentType, properties.blobType, properties.etag], [10, 'text/plain', 'BlockBlob', first.etag]);
  assert.equal((await reader.downloadToBuffer(3, 4)).toString(), '3456');
  assert.equal((await reader.downloadToBuffer(8)).toString(), '89');
  await assert.rejects(reader.download(10, 1), isRefused(416));
  await assert.rejects(new storage.BlockBlobClient(JSON.parse(text).uri).upload('x', 1), isRefused(403));
  await assert.rejects(reader.delete(), isRefused(403));
  assert.equal((await hub.request('DELETE', `/manage/v1/devices/${deviceId}/files?name=a.txt`)).status, 204);
  await assert.rejects(reader.getProperties(), isRefused(404));
  assert.equal((await hub.request('DELETE', `/manage/v1/devices/${deviceId}/files?name=a.txt`)).status, 404);
});

/** What the hub has in memory now, in bytes. */
const memory = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${readFileSync(path.join(hub.data, 'lock'), 'utf8').trim()}/status`, 'utf8'))[1]) * 1024;

const LARGE = 250 * 1024 * 1024;

test('Upload_Of250MB_TakesLittleOfTheHubsMemory', async () => {
  const { deviceId, connectionString } = await hub.device('up-large');
  const client = device.Client.fromConnectionString(connectionString, Mqtt);
  const piece = randomBytes(1 << 20);
  const sent = createHash('sha256');
  async function* content() {
    for (let i = 0; i < LARGE / piece.length; i++) {
      piece.writeUInt32LE(i);
      sent.update(piece);
      yield Buffer.from(piece);
    }
  }

  const before = memory();
  let highest = before;
  const watch = setInterval(() => { highest = Math.max(highest, memory()); }, 50);
  await client.open();
  await client.uploadToBlob('large.bin', Readable.from(content()), LARGE);
  assert.equal((await notified(`${deviceId}/large.bin`)).blobSizeInBytes, LARGE);
  const { text } = await hub.request('POST', `/manage/v1/devices/${deviceId}/files/read`, { body: JSON.stringify({ blobName: 'large.bin' }) });
  const came = createHash('sha256');
  const { readableStreamBody } = await new storage.BlobClient(JSON.parse(text).uri).download();
  for await (const chunk of readableStreamBody) came.update(chunk);
  clearInterval(watch);
  assert.equal(came.digest('hex'), sent.digest('hex'));
  assert.ok(highest - before < 100 * 1024 * 1024, `the hub took ${((highest - before) / 1048576).toFixed(0)} MB more`);
  await client.close();
  await hub.request('DELETE', `/manage/v1/devices/${deviceId}/files?name=large.bin`);
}, 240_000);

/** Azurite (loose: the SDK asks for an encryption that it has not) over TLS with the certificate of the hub, which everybody here trusts; answers { connectionString, stop }. */
async function account() {
  // Ports at which the storage libraries look for the account's name in the path.
  const isFree = port => new Promise(resolve => { const probe = net.createServer().on('error', () => resolve(false)).listen(port, '127.0.0.1', () => probe.close(() => resolve(true))); });
  let port = 11_000;
  while (!await isFree(port)) assert.ok(++port < 11_005, 'no port is free for Azurite');
  const key = randomBytes(64).toString('base64');
  const tls = path.join(hub.data, 'tls');
  const main = path.join(hub.repository, 'tests/conformance/node_modules/azurite/dist/src/blob/main.js');
  const child = spawn(process.execPath, [main, '--blobHost', '127.0.0.1', '--blobPort', `${port}`, '--location', path.join(files, 'azurite'), '--silent', '--loose', '--skipApiVersionCheck', '--disableTelemetry',
    '--cert', path.join(tls, 'server.crt'), '--key', path.join(tls, 'server.key')], { env: { ...process.env, AZURITE_ACCOUNTS: `acct:${key}` }, stdio: 'ignore' });
  const exited = new Promise(resolve => child.once('exit', resolve));
  const isUp = () => new Promise(resolve => { const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); }).on('error', () => resolve(false)); });
  for (let turn = 0; turn < 200 && !await isUp(); turn++) await new Promise(resolve => setTimeout(resolve, 100));
  return {
    connectionString: `DefaultEndpointsProtocol=https;AccountName=acct;AccountKey=${key};BlobEndpoint=https://localhost:${port}/acct;`, port,
    stop: () => { child.kill('SIGKILL'); return exited; },
  };
}

test('Upload_ToAStorageAccount_IsWrittenThere_AndServicesAreTold', async () => {
  const azurite = await account();
  const secret = path.join(files, 'account');
  writeFileSync(secret, azurite.connectionString, { mode: 0o600 });
  const container = storage.BlobServiceClient.fromConnectionString(azurite.connectionString).getContainerClient('from-devices');
  await container.create();
  const settings = {
    SALLYPORT__Uploads__AccountConnectionStringFile: secret, SALLYPORT__Uploads__AccountContainer: 'from-devices',
    SALLYPORT__Outgoing__RootsFile: hub.endpoints().caFile, SALLYPORT__Outgoing__AllowLoopback: 'true',
  };
  await hub.stop();
  Object.assign(process.env, settings);
  try {
    await restarted();
    const { deviceId, connectionString } = await hub.device('up-account');
    const client = device.Client.fromConnectionString(connectionString, Mqtt);
    const content = randomBytes(9_000_000);
    await client.open();
    await client.uploadToBlob('dir/a b.bin', Readable.from(content), content.length);
    const notification = await notified(`${deviceId}/dir/a b.bin`);
    assert.equal(notification.blobSizeInBytes, content.length);
    assert.equal(notification.blobUri, `https://localhost:${azurite.port}/acct/from-devices/${deviceId}/dir/a%20b.bin`);
    assert.deepEqual(await container.getBlobClient(`${deviceId}/dir/a b.bin`).downloadToBuffer(), content);
    assert.deepEqual(await read(deviceId, 'dir/a b.bin'), content);
    const listed = JSON.parse((await hub.request('GET', `/manage/v1/devices/${deviceId}/files`)).text);
    assert.deepEqual(listed.map(file => [file.blobName, file.sizeBytes]), [[`${deviceId}/dir/a b.bin`, content.length]]);

    // The device may create and write its one blob, and nothing else.
    const { place, uri } = await begin(connectionString, 'b.bin');
    assert.match(place.sasToken, /[?&]sp=cw(&|$)/);
    const blob = new storage.BlockBlobClient(uri);
    await blob.upload('x', 1);
    await assert.rejects(blob.downloadToBuffer(), isRefused(403));
    await assert.rejects(new storage.BlockBlobClient(uri.replace('b.bin', 'c.bin')).upload('x', 1), isRefused(403));

    // What the hub cannot ask the account is not lost: the device says it again.
    await azurite.stop();
    const report = () => hub.request('POST', `/devices/${deviceId}/files/notifications?api-version=2021-04-12`, { body: JSON.stringify({ correlationId: place.correlationId, isSuccess: true, statusCode: 201 }) });
    const away = await report();
    assert.equal(away.status, 503);
    assert.ok(!/AccountKey|sig=/.test(away.text + hub.output()));
    assert.equal(JSON.parse((await hub.request('GET', `/manage/v1/devices/${deviceId}/uploads`)).text).length, 1);
    await client.close();
  } finally {
    await azurite.stop();
    for (const name of Object.keys(settings)) delete process.env[name];
    await hub.stop();
    await restarted();
  }
}, 120_000);
