// Certificates as people make them with openssl, in a directory of their own.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export class Certificates {
  #directory = mkdtempSync(path.join(os.tmpdir(), 'sallyport-certificates-'));
  #serial = 0;

  #openssl(...args) {
    return execFileSync('openssl', args, { cwd: this.#directory, stdio: ['ignore', 'pipe', 'pipe'] }).toString();
  }

  /** A name that no other certificate or device of this run has. */
  name(prefix) {
    return `${prefix}-${process.pid}-${++this.#serial}`;
  }

  path(file) {
    return path.join(this.#directory, file);
  }

  read(file) {
    return readFileSync(this.path(file), 'utf8');
  }

  /** A certificate that vouches for itself, as Azure's tutorial makes one; answers it, its key, and its SHA-256 thumbprint. */
  selfSigned(name, file = name) {
    this.#openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', `/CN=${name}`, '-keyout', `${file}.key`, '-out', `${file}.crt`);
    const thumbprint = this.#openssl('x509', '-in', `${file}.crt`, '-noout', '-fingerprint', '-sha256').split('=')[1].replaceAll(':', '').trim();
    return { cert: this.read(`${file}.crt`), key: this.read(`${file}.key`), thumbprint };
  }

  /** An authority of our own: `name`.crt and `name`.key. */
  authority(name) {
    this.#openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', `/CN=${name}`, '-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-keyout', `${name}.key`, '-out', `${name}.crt`);
  }

  /** A certificate that the authority signs; with `ca` one that may sign others. A slash in the name is escaped: it is one common name. */
  signed(issuer, name, file, { ca = false } = {}) {
    this.#openssl('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${name.replaceAll('/', '\\/')}`, '-keyout', `${file}.key`, '-out', `${file}.csr`,
      '-addext', `basicConstraints=critical,CA:${ca ? 'TRUE' : 'FALSE'}`, '-addext', ca ? 'keyUsage=critical,keyCertSign,cRLSign' : 'keyUsage=critical,digitalSignature', ...(ca ? [] : ['-addext', 'extendedKeyUsage=clientAuth']));
    this.#openssl('x509', '-req', '-in', `${file}.csr`, '-CA', `${issuer}.crt`, '-CAkey', `${issuer}.key`, '-CAcreateserial', '-days', '10', '-copy_extensions', 'copy', '-out', `${file}.crt`);
    return { cert: this.read(`${file}.crt`), key: this.read(`${file}.key`) };
  }

  remove() {
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
