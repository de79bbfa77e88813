// oidc-provider as a strict peer: every refresh token rotates, and one that is
// used again costs the whole grant. It prints its URL as its first line, counts
// requests at /requests, and ends when its standard input does.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const { CLIENT_ID, CLIENT_SECRET, ACCESS_TOKEN_TTL, AUTH_METHOD } = process.env;
const requests = {};

const server = createServer((_, res) => res.writeHead(503).end());
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      token_endpoint_auth_method: AUTH_METHOD,
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: ['http://127.0.0.1/oauth/callback/any'],
    }],
    scopes: ['openid', 'offline_access'],
    features: { devInteractions: { enabled: true }, revocation: { enabled: true } },
    pkce: { required: () => true },
    rotateRefreshToken: () => true,
    issueRefreshToken: async () => true,
    ttl: {
      AccessToken: Number(ACCESS_TOKEN_TTL), RefreshToken: 86400, Grant: 86400, Session: 86400,
      Interaction: 600, AuthorizationCode: 60, IdToken: 3600,
    },
    cookies: { keys: ['test'] },
  });
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
