// A storage account to test against: Azurite in a process of its own, in memory, on a port that is free, with a key of its own.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BlobServiceClient, ContainerSASPermissions, StorageSharedKeyCredential } from '@azure/storage-blob';

const here = path.dirname(fileURLToPath(import.meta.url));

/** Starts it; answers { service, container(name), stop() }. */
export async function startAccount() {
  const [account, key] = ['account1', randomBytes(32).toString('base64')];
  const port = await freePort();
  const folder = mkdtempSync(path.join(os.tmpdir(), 'sallyport-azurite-'));
  const child = spawn(process.execPath, [path.join(here, 'node_modules/azurite/dist/src/blob/main.js'),
    '--blobPort', `${port}`, '--inMemoryPersistence', '--silent', '--disableTelemetry', '--skipApiVersionCheck', '--disableProductStyleUrl'],
  { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, AZURITE_ACCOUNTS: `${account}:${key}` } });
  const service = new BlobServiceClient(`http://127.0.0.1:${port}/${account}`, new StorageSharedKeyCredential(account, key));
  for (let tries = 0; ; tries++) {
    try {
      await service.getProperties();
      break;
    } catch (error) {
      if (tries > 100 || child.exitCode !== null) throw error;
      await wait(100);
    }
  }

  return {
    service,
    /** A new container; answers { client, sas, read(name), write(name, text) }: `sas` is its address with a signature. */
    async container(name, permissions = 'rwdl') {
      const client = service.getContainerClient(name);
      await client.createIfNotExists();
      return {
        client,
        sas: await client.generateSasUrl({ expiresOn: new Date(Date.now() + 3600_000), permissions: ContainerSASPermissions.parse(permissions) }),
        read: async blob => (await client.getBlobClient(blob).downloadToBuffer()).toString(),
        write: (blob, text) => client.getBlockBlobClient(blob).upload(text, Buffer.byteLength(text)),
      };
    },
    async stop() {
      const exited = new Promise(resolve => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
