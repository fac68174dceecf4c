// npm's etcd3 against a server under TLS that has users (see server.py).
//
// usage: node etcd3_client.js HOST:PORT CA

'use strict';
const assert = require('assert');
const fs = require('fs');
const { Etcd3, Range } = require('etcd3');

const [host, ca] = process.argv.slice(2);
const open = (username, password) =>
  new Etcd3({ hosts: `https://${host}`, auth: { username, password },
              credentials: { rootCertificate: fs.readFileSync(ca) } });

async function refused(what, pattern) {
  try {
    await what;
  } catch (error) {
    assert.match(String(error.message), pattern);
    return error;
  }
  assert.fail(`was let in, and should hear ${pattern}`);
}

const once = (emitter, name) => new Promise((done) => emitter.once(name, done));

async function keys(ann) {
  await ann.put('ann/a').value('1');
  assert.strictEqual(await ann.get('ann/a').string(), '1');
  await ann.put('ann/b').value(JSON.stringify({ x: [1] }));
  assert.deepStrictEqual(await ann.get('ann/b').json(), { x: [1] });
  assert.deepStrictEqual(await ann.getAll().prefix('ann/').strings(),
                         { 'ann/a': '1', 'ann/b': '{"x":[1]}' });
  assert.deepStrictEqual(await ann.getAll().prefix('ann/').sort('Key', 'Descend').limit(1).keys(),
                         ['ann/b']);
  const won = await ann.if('ann/a', 'Value', '==', '1')
    .then(ann.put('ann/c').value('yes')).else(ann.get('ann/a')).commit();
  assert.strictEqual(won.succeeded, true);
  const lost = await ann.if('ann/a', 'Version', '>', 5)
    .then(ann.put('ann/c').value('no')).else(ann.get('ann/c')).commit();
  assert.strictEqual(lost.succeeded, false);
  assert.strictEqual(lost.responses[0].response_range.kvs[0].value.toString(), 'yes');
  assert.strictEqual(Number((await ann.delete().key('ann/c')).deleted), 1);
  const long = 'v'.repeat(1 << 20);
  await ann.put('ann/long').value(long);
  assert.strictEqual(await ann.get('ann/long').string(), long);
}

async function watches(ann) {
  const watcher = await ann.watch().prefix('ann/w').withPreviousKV().create();
  let event = once(watcher, 'put');
  await ann.put('ann/w1').value('1');
  assert.strictEqual((await event).value.toString(), '1');
  event = once(watcher, 'delete');
  await ann.delete().key('ann/w1');
  assert.strictEqual((await event).key.toString(), 'ann/w1');
  await watcher.cancel();
}

async function leases(ann) {
  const lease = ann.lease(100);
  await lease.put('ann/leased').value('x');
  await lease.keepaliveOnce();
  await lease.revoke();
  assert.strictEqual(await ann.get('ann/leased').string(), null);
  const lock = ann.lock('ann/lock');
  await lock.acquire();
  await refused(ann.lock('ann/lock').acquire(), /lock/i);
  await lock.release();
  assert.strictEqual(await ann.lock('ann/lock').do(async () => 7), 7);
  const election = ann.namespace('ann/').election('leader', 10);
  const campaign = election.campaign('me');
  await once(campaign, 'elected');
  const observer = await election.observe();
  if (observer.leader() === undefined) await once(observer, 'change');
  assert.strictEqual(observer.leader(), 'me');
  await observer.cancel();
  await campaign.resign();
}

async function rights(ann, root) {
  const denied = /permission denied/;
  await refused(ann.put('other').value('1'), denied);
  await refused(ann.get('other').string(), denied);
  await refused(ann.getAll().all().strings(), denied);
  await refused(ann.getUsers(), denied);
  await refused(ann.if('other', 'Version', '==', 0).then(ann.put('ann/a').value('x')).commit(), denied);
  await root.put('other').value('roots');
  assert.strictEqual(await root.get('other').string(), 'roots');
  assert.deepStrictEqual((await root.getUsers()).map((user) => user.name).sort(), ['ann', 'root']);
  // What is granted counts at once, for who is logged in as well.
  await root.role('anns').grant({ permission: 'Read', range: Range.prefix('other') });
  assert.strictEqual(await ann.get('other').string(), 'roots');
  // Whose password has changed must log in again, and cannot with the old one.
  await root.user('ann').setPassword('new');
  await refused(ann.put('ann/a').value('2'), /invalid auth token|authentication failed/);
  const again = open('ann', 'new');
  await again.put('ann/a').value('2');
  again.close();
  for (const [name, password] of [['ann', 'secret'], ['nobody', 'x']]) {
    const stranger = open(name, password);
    await refused(stranger.get('ann/a').string(), /authentication failed/);
    stranger.close();
  }
  assert.ok((await root.maintenance.status()).version.startsWith('3.'));
}

async function main() {
  const ann = open('ann', 'secret');
  const root = open('root', 'toor');
  for (const part of [keys, watches, leases, rights]) {
    await part(ann, root);
    console.log(`ok ${part.name}`);
  }
  ann.close();
  root.close();
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
