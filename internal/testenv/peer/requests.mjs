// Ways to a token that oidc-provider leaves to whoever runs it. Assertions are
// verified by a JOSE library that is not Outlink's.
import { createLocalJWKSet, jwtVerify } from 'jose';
import { errors } from 'oidc-provider';

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

// jwtBearer takes an assertion of the client's (RFC 7523 section 3), once; its
// audience is the issuer. A subject that is called "unknown" is.
export function jwtBearer(provider, issuer) {
  const seen = new Set();
  provider.registerGrantType(JWT_BEARER, async (ctx) => {
    const { client, params } = ctx.oidc;
    const keys = createLocalJWKSet(client.jwks);
    const { payload } = await jwtVerify(params.assertion ?? '', keys, {
      issuer: client.clientId, audience: issuer, requiredClaims: ['sub', 'exp', 'jti'], typ: 'JWT',
    }).catch((cause) => { throw new errors.InvalidGrant('the assertion is not valid', { cause }); });
    if (seen.has(payload.jti)) throw new errors.InvalidGrant('the assertion was used before');
    seen.add(payload.jti);
    if (payload.sub === 'unknown') throw new errors.InvalidGrant('no such subject');
    await respond(ctx, provider, { accountId: payload.sub, client, gty: JWT_BEARER, scope: params.scope });
  }, ['assertion', 'scope']);
}

// tokenExchange takes an access token that this server issued (RFC 8693 section
// 2.1), and refuses any other as section 2.2.2 has it.
export function tokenExchange(provider) {
  provider.registerGrantType(TOKEN_EXCHANGE, async (ctx) => {
    const { client, params } = ctx.oidc;
    if (params.subject_token_type !== ACCESS_TOKEN) throw new errors.InvalidRequest('subject_token_type');
    const subject = await provider.AccessToken.find(params.subject_token);
    if (!subject || subject.isExpired) throw new errors.InvalidRequest('the subject token is not valid');
    await respond(ctx, provider, { accountId: subject.accountId, client, gty: TOKEN_EXCHANGE, scope: params.scope });
    ctx.body.issued_token_type = ACCESS_TOKEN;
  }, ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'scope']);
}

// respond issues an access token that is a JWT, so that a test can read whose it is.
async function respond(ctx, provider, properties) {
  const token = new provider.AccessToken(properties);
  token.resourceServer = new provider.ResourceServer('https://api.example/v1', {
    scope: 'read', audience: 'https://api.example/v1', accessTokenTTL: Number(process.env.ACCESS_TOKEN_TTL), accessTokenFormat: 'jwt',
  });
  ctx.oidc.entity('AccessToken', token);
  const value = await token.save();
  ctx.body = { access_token: value, expires_in: token.expiration, scope: token.scope, token_type: token.tokenType };
}
