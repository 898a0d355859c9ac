// A hub under test: the real program, started and ended as a person would, seen from outside only.
import { spawn, execFile } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

export const repository = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const program = path.join(repository, 'sallyport');

/** The data directory that run.mjs prepared; its root certificate is already in NODE_EXTRA_CA_CERTS. */
export const data = process.env.SALLYPORT_TEST_DATA;

let running;

/** Starts the hub and waits for the line `ready`. */
export async function start(...flags) {
  const child = spawn(program, ['up', '--data', data, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = [];
  const exited = new Promise(resolve => child.once('exit', (code, signal) => resolve({ code, signal })));
  const ready = new Promise((resolve, reject) => {
    readline.createInterface({ input: child.stdout }).on('line', line => {
      said.push(line);
      if (line.trim() === 'ready') resolve();
    });
    readline.createInterface({ input: child.stderr }).on('line', line => said.push(line));
    exited.then(({ code }) => reject(new Error(`the hub ended with ${code} before it was ready:\n${said.join('\n')}`)));
  });
  await ready;
  running = { child, exited, said };
  return endpoints();
}

/** Ends it gracefully; answers the exit code. */
export async function stop() {
  if (!running) return;
  const { child, exited } = running;
  running = undefined;
  child.kill('SIGTERM');
  return (await exited).code;
}

/** Ends it as a power cut would end the process. */
export async function kill9() {
  const { child, exited } = running;
  running = undefined;
  child.kill('SIGKILL');
  await exited;
}

export function output() {
  return running.said.join('\n');
}

export function endpoints() {
  return JSON.parse(readFileSync(path.join(data, 'endpoints.json'), 'utf8'));
}

export function wipe() {
  rmSync(data, { recursive: true, force: true });
}

/** Runs a verb against the hub; answers { code, stdout, stderr }. `input` goes to standard input. */
export function cli(args, { input, env } = {}) {
  return new Promise(resolve => {
    const child = execFile(program, [...args, '--data', data], { env: { ...process.env, ...env }, maxBuffer: 1 << 26 },
      (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr }));
    child.stdin.end(input ?? '');
  });
}

/** Runs a verb that must succeed and print JSON. */
export async function cliJson(args, options) {
  const { code, stdout, stderr } = await cli([...args, '-o', 'json'], options);
  if (code !== 0) throw new Error(`sallyport ${args.join(' ')} ended with ${code}: ${stderr}`);
  return JSON.parse(stdout);
}

export function parts(connectionString) {
  return Object.fromEntries(connectionString.split(';').map(part => {
    const at = part.indexOf('=');
    return [part.slice(0, at), part.slice(at + 1)];
  }));
}

/** A shared access signature, made here so that the tests do not believe the product's own maker. */
export function sas(resource, key, { policy, seconds = 3600 } = {}) {
  const sr = encodeURIComponent(resource);
  const se = Math.floor(Date.now() / 1000) + seconds;
  const sig = encodeURIComponent(createHmac('sha256', Buffer.from(key, 'base64')).update(`${sr}\n${se}`).digest('base64'));
  return `SharedAccessSignature sr=${sr}&sig=${sig}&se=${se}${policy ? `&skn=${policy}` : ''}`;
}

/** One HTTPS request; answers { status, headers, text }. */
export function request(method, route, { headers = {}, body, connectionString = endpoints().ownerConnectionString } = {}) {
  const { HostName, SharedAccessKey, SharedAccessKeyName } = parts(connectionString);
  const authorization = headers.authorization === undefined ? { authorization: sas(HostName, SharedAccessKey, { policy: SharedAccessKeyName }) } : {};
  return new Promise((resolve, reject) => {
    const sent = https.request({ host: HostName, port: endpoints().httpsPort, method, path: route, headers: { ...authorization, ...headers } }, response => {
      const chunks = [];
      response.on('data', chunk => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text: Buffer.concat(chunks).toString() }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

/** Everything the built-in endpoint holds (of one device, when given), in order per partition. */
export async function events(deviceId) {
  const { status, text } = await request('GET', `/manage/v1/events?from=earliest&follow=false${deviceId ? `&deviceId=${encodeURIComponent(deviceId)}` : ''}`);
  if (status !== 200) throw new Error(`reading events: ${status} ${text}`);
  return text.split('\n').filter(line => line !== '').map(line => JSON.parse(line)).filter(event => 'sequenceNumber' in event);
}

/** What the stream of changes holds of a device: twins, identities, connections. */
export async function changes(deviceId) {
  const { status, text } = await request('GET', `/manage/v1/changes?from=earliest&follow=false&deviceId=${encodeURIComponent(deviceId)}`);
  if (status !== 200) throw new Error(`reading changes: ${status} ${text}`);
  return text.split('\n').filter(line => line !== '').map(line => JSON.parse(line)).filter(event => 'sequenceNumber' in event);
}

let serial = 0;

/** Registers a device with a name of its own, by one request; answers its connection string and keys. */
export async function device(name = 'd') {
  const deviceId = `${name}-${process.pid}-${++serial}`;
  const { status, text } = await request('PUT', `/devices/${deviceId}?api-version=2021-04-12`, {
    headers: { 'content-type': 'application/json' }, body: JSON.stringify({ deviceId }),
  });
  if (status !== 200) throw new Error(`registering ${deviceId}: ${status} ${text}`);
  const { primaryKey: key, secondaryKey } = JSON.parse(text).authentication.symmetricKey;
  const { hostName } = endpoints();
  return { deviceId, hostName, key, secondaryKey, connectionString: `HostName=${hostName};DeviceId=${deviceId};SharedAccessKey=${key}` };
}

/** Registers a module of a device. */
export async function module(deviceId, moduleId) {
  const { status, text } = await request('PUT', `/devices/${deviceId}/modules/${moduleId}?api-version=2021-04-12`, {
    headers: { 'content-type': 'application/json' }, body: JSON.stringify({ deviceId, moduleId }),
  });
  if (status !== 200) throw new Error(`registering ${deviceId}/${moduleId}: ${status} ${text}`);
  const { primaryKey: key } = JSON.parse(text).authentication.symmetricKey;
  const { hostName } = endpoints();
  return { deviceId, moduleId, hostName, key, connectionString: `HostName=${hostName};DeviceId=${deviceId};ModuleId=${moduleId};SharedAccessKey=${key}` };
}

export function prepared() {
  return existsSync(path.join(data, 'endpoints.json'));
}

/** Answers a method. The service has the answer before the device hears that it was taken: a client that the test closes then says so to nobody. */
export function answer(response, status, payload) {
  response.send(status, payload, () => {});
}
