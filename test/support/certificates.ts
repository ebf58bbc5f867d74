/** Certificates for tests, by openssl(1). */
import { execFileSync } from 'node:child_process';

/**
 * Makes `NAME.pem` and `NAME.key` by `at`; of itself if `by` is the same name, else signed by that one, for `use` (`serverAuth`,
 * `clientAuth`).
 */
export function certificate(at: (file: string) => string, name: string, by: string, use: string): void {
  const own = name === by ? [] : ['-CA', at(`${by}.pem`), '-CAkey', at(`${by}.key`)];
  const leaf =
    name === by ? [] : ['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', `extendedKeyUsage=${use}`];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', at(`${name}.key`)];
  const subject = ['-subj', `/CN=${name}`, '-days', '2', '-out', at(`${name}.pem`)];
  execFileSync('openssl', ['req', '-x509', ...key, ...subject, ...own, ...leaf], { stdio: 'pipe' });
}
