// oidc-provider as a strict peer: every refresh token rotates, and one that is
// used again costs the whole grant. It prints its URL as its first line, counts
// requests at /requests, and ends when its standard input does.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTLSServer } from 'node:https';
import Provider, { errors } from 'oidc-provider';
import { jwtBearer, tokenExchange } from './requests.mjs';

const { CLIENT_ID, CLIENT_SECRET, ACCESS_TOKEN_TTL, AUTH_METHOD, CLIENT_METADATA, TLS_CERTIFICATE, TLS_KEY, DPOP_NONCE } = process.env;
const requests = {};

const busy = (_, res) => res.writeHead(503).end();
const server = TLS_CERTIFICATE
  ? createTLSServer({ cert: TLS_CERTIFICATE, key: TLS_KEY, requestCert: true, rejectUnauthorized: false }, busy)
  : createServer(busy);
server.listen(0, '127.0.0.1', () => {
  const issuer = `${TLS_CERTIFICATE ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET || undefined,
      token_endpoint_auth_method: AUTH_METHOD,
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: ['http://127.0.0.1/oauth/callback/any'],
      ...JSON.parse(CLIENT_METADATA || '{}'),
    }],
    scopes: ['openid', 'offline_access', 'read'],
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth', 'none'],
    features: {
      devInteractions: { enabled: true },
      revocation: { enabled: true },
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      dPoP: { enabled: true, requireNonce: () => Boolean(DPOP_NONCE), nonceSecret: DPOP_NONCE ? randomBytes(32) : undefined },
      mTLS: {
        enabled: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate?.()?.toString(),
        // This peer's authority is whoever issued the certificate that it was told of.
        certificateAuthorized: () => true,
        certificateSubjectMatches: (ctx, _, expected) => ctx.socket.getPeerX509Certificate().subject === expected,
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => {
          if (resource.includes('unknown')) throw new errors.InvalidTarget();
          return { scope: 'read', audience: resource, accessTokenTTL: Number(ACCESS_TOKEN_TTL), accessTokenFormat: 'jwt' };
        },
      },
    },
    pkce: { required: () => true },
    rotateRefreshToken: () => true,
    issueRefreshToken: async () => true,
    ttl: {
      AccessToken: Number(ACCESS_TOKEN_TTL), ClientCredentials: Number(ACCESS_TOKEN_TTL), RefreshToken: 86400, Grant: 86400, Session: 86400,
      DeviceCode: 600, Interaction: 600, AuthorizationCode: 60, IdToken: 3600,
    },
    cookies: { keys: ['test'] },
  });
  jwtBearer(provider, issuer);
  tokenExchange(provider);
  // Outlink has one redirect URL per link; they are not known in advance.
  provider.Client.prototype.redirectUriAllowed = (value) => {
    const u = new URL(value);
    return u.protocol === 'http:' && ['127.0.0.1', 'localhost'].includes(u.hostname)
      && u.pathname.startsWith('/oauth/callback/') && !u.search && !u.hash;
  };
  provider.use(async (ctx, next) => {
    if (ctx.path === '/requests') {
      ctx.body = requests;
      return;
    }
    await next();
    const key = ctx.oidc?.params?.grant_type ?? ctx.oidc?.route;
    if (key) requests[key] = (requests[key] ?? 0) + 1;
  });
  server.removeAllListeners('request');
  server.on('request', provider.callback());
  console.log(issuer);
});
process.stdin.resume().on('end', () => process.exit(0));
