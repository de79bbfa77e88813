// Ways to a token that oidc-provider leaves to whoever runs it. Assertions are
// verified by a JOSE library that is not Outlink's.
import { createLocalJWKSet, jwtVerify } from 'jose';
import { errors } from 'oidc-provider';

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
