/** Options of a TLS connection, as volfiles name them; what they mean is in docs/tls.md. */
import { option } from '@mortar/core';

const named = (name: string, description: string) => option.text('', { description, aliases: [name], live: false });

/** A connection is made anew with other ones: the client wants a new graph. */
export const tlsOptions = {
  'transport.socket.ssl-enabled': option.bool('off', {
    description: 'Speak TLS; both sides show a certificate.',
    aliases: ['ssl-enabled'],
    live: false,
  }),
  'transport.socket.ssl-own-cert': named('ssl-own-cert', 'Own certificate; /etc/ssl/glusterfs.pem.'),
  'transport.socket.ssl-private-key': named('ssl-private-key', 'Its key; /etc/ssl/glusterfs.key.'),
  'transport.socket.ssl-ca-list': named('ssl-ca-list', 'Certificates of those who may sign; /etc/ssl/glusterfs.ca.'),
  'transport.socket.ssl-crl-path': named('ssl-crl-path', 'A file of revoked certificates.'),
  'transport.socket.ssl-cipher-list': named('ssl-cipher-list', "Ciphers, in OpenSSL's form."),
  'transport.socket.ssl-cert-depth': named('ssl-cert-depth', 'Certificates between own and authority, at most; 1.'),
} as const;
