// Prepares a hub's data directory, then runs the tests with its root certificate trusted:
//
//   node run.mjs [FILE.test.mjs ...]
//
// NODE_EXTRA_CA_CERTS is read when Node starts, so the tests run in a process of their own.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const data = process.env.SALLYPORT_TEST_DATA = path.join(mkdtempSync(path.join(os.tmpdir(), 'sallyport-conformance-')), 'data');

const { start, stop } = await import('./hub.mjs');
let code = 1;
try {
  const endpoints = await start();
  await stop();
  if (endpoints.httpsPort !== 443) {
    // The SDKs of the registry and of the WebSocket transports have 443 built in.
    console.log(`not run: conformance needs port 443, and the hub had to take ${endpoints.httpsPort}; run as root or lower net.ipv4.ip_unprivileged_port_start`);
    process.exit(3);
  }

  const files = process.argv.slice(2);
  // The files share the hub's data, and run in the order of their names. 0-eventhubs comes first: it counts what a partition holds from its beginning.
  const tests = files.length ? files : readdirSync(here).filter(name => name.endsWith('.test.mjs')).sort();
  // A timer that an SDK leaves behind would keep a finished test file alive for the better part of an hour: forced to exit.
  const result = spawnSync(process.execPath, ['--test', '--test-force-exit', '--test-concurrency=1', ...(process.env.SALLYPORT_TEST_REPORTER ? [`--test-reporter=${process.env.SALLYPORT_TEST_REPORTER}`] : []), ...tests], {
    cwd: here,
    stdio: 'inherit',
    env: { ...process.env, NODE_EXTRA_CA_CERTS: endpoints.caFile },
  });
  code = result.status ?? 1;
} finally {
  rmSync(path.dirname(data), { recursive: true, force: true });
}
process.exit(code);
