// A service that is not written in Go: everything a link needs, over NATS alone.
// Environment: NATS_URL, the provider's TOKEN_ENDPOINT and AUTHORIZATION_ENDPOINT,
// CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN. It prints one line a step and never a secret.
import { randomUUID } from 'node:crypto';
import { connect, createInbox, headers } from '@nats-io/transport-node';
import { jetstream } from '@nats-io/jetstream';
import { createCurve } from '@nats-io/nkeys';

const env = process.env;
const nc = await connect({ servers: env.NATS_URL });

// An answer is JSON. An error has its code in a header, and all of it in the body.
async function ask(subject, body = {}) {
  const reply = await nc.request(subject, JSON.stringify(body), { timeout: 10_000 });
  const answer = reply.json();
  if (reply.headers?.get('Nats-Service-Error-Code')) throw Object.assign(new Error(answer.message), answer);
  return answer;
}

const info = await ask('outlink.info');
console.log(`info ${info.namespace} ${info.commands.length} commands`);

// A secret travels sealed to the namespace's curve key (nkeys xkey).
function seal(secret) {
  const own = createCurve();
  const box = own.seal(new TextEncoder().encode(secret), info.curve_key);
  return { from: own.getPublicKey(), ciphertext: Buffer.from(box).toString('base64') };
}

// Whoever chooses the command id may send the command again: it has one effect.
const create = {
  command_id: randomUUID(), actor: 'service:node', name: 'from node', provider: 'custom',
  client_id: env.CLIENT_ID, client_secret: seal(env.CLIENT_SECRET), auth_style: 'basic', scopes: ['read'],
  authorization_endpoint: env.AUTHORIZATION_ENDPOINT, token_endpoint: env.TOKEN_ENDPOINT,
};
const created = await ask('outlink.command.CreateOutgoingLink', create);
const again = await ask('outlink.command.CreateOutgoingLink', create);
console.log(`created ${created.events}, again at the same sequence: ${again.sequence === created.sequence}`);
const link = created.link_id;

const imported = await ask('outlink.command.RecordTokenIssued', { command_id: randomUUID(), link_id: link, refresh_token: seal(env.REFRESH_TOKEN) });
console.log(`imported ${imported.events}`);

// There is no access token yet: the request waits for the refresh that gets one.
const token = await ask(`outlink.token.get.${link}`, { min_ttl: '30s' });
console.log(`token ${token.token_type} generation ${token.generation}, given: ${token.access_token.length > 0}`);

// A submitted command is durable: the acknowledgement means accepted for ever.
const inbox = createInbox();
const outcome = (async () => { for await (const m of nc.subscribe(inbox, { max: 1, timeout: 10_000 })) return m.json(); })();
const disable = { command_id: randomUUID(), link_id: link, reason: 'shown from Node' };
const h = headers();
h.set('Outlink-Reply-To', inbox);
const ack = await jetstream(nc).publish('outlink.submit.DisableLink', JSON.stringify(disable), { msgID: disable.command_id, headers: h });
console.log(`submitted to ${ack.stream}, outcome ${(await outcome).events}`);

try {
  await ask(`outlink.token.get.${link}`);
} catch (e) {
  console.log(`refused ${e.code}`);
}
await nc.drain();
