// Websockets of the JSON gateway by two clients that people have: Node's own (undici's, of browsers'
// kind), and npm's ws.
//
// usage: node --experimental-websocket websocket_client.js HOST:TLS_PORT CA TOKEN

'use strict';
const assert = require('assert');
const fs = require('fs');

const [host, ca, token] = process.argv.slice(2);
const b64 = (text) => Buffer.from(text).toString('base64');

// Node's own goes by NODE_EXTRA_CA_CERTS, which whoever starts this sets.
const kinds = { own: (path, protocols) => new globalThis.WebSocket(`wss://${host}${path}`, protocols) };
try {
  const Ws = require('ws');
  kinds.ws = (path, protocols) => new Ws(`wss://${host}${path}`, protocols,
                                         { ca: fs.readFileSync(ca) });
} catch (error) {
  console.log('without ws: it is not there');
}
if (!globalThis.WebSocket) delete kinds.own;

// Messages in the order of their arrival; each is waited for once.
class Socket {
  constructor(open, path, protocols) {
    this.socket = open(path, protocols);
    this.arrived = [];
    this.waiting = [];
    this.socket.onmessage = (event) => this.arrive(JSON.parse(event.data));
    this.closed = new Promise((done) => { this.socket.onclose = (event) => done(event.code); });
    this.opened = new Promise((done, failed) => {
      this.socket.onopen = () => done();
      this.socket.onerror = () => failed(new Error('could not connect'));
    });
    this.opened.catch(() => {});
  }
  arrive(message) {
    const next = this.waiting.shift();
    if (next) next(message);
    else this.arrived.push(message);
  }
  next() {
    if (this.arrived.length > 0) return Promise.resolve(this.arrived.shift());
    return new Promise((done) => this.waiting.push(done));
  }
  async say(message) {
    await this.opened;
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }
}

async function put(open, key, value) {
  const socket = new Socket(open, '/v3/kv/put', ['Bearer', token]);
  await socket.say({ key: b64(key), value: b64(value) });
  const answer = await socket.next();
  assert.strictEqual(await socket.closed, 1000);
  return answer;
}

async function run(name, open) {
  const watch = new Socket(open, '/v3/watch', ['Bearer', token]);
  await watch.opened;
  assert.strictEqual(watch.socket.protocol, 'Bearer');
  await watch.say({ create_request: { key: b64('ann/w'), range_end: b64('ann/x') } });
  assert.strictEqual((await watch.next()).result.created, true);
  for (let i = 0; i < 20; ++i) {
    assert.ok((await put(open, `ann/w${i}`, `${name}${i}`)).header);
    const event = (await watch.next()).result.events[0];
    assert.strictEqual(Buffer.from(event.kv.value, 'base64').toString(), `${name}${i}`);
  }
  // Both ways long.
  const long = 'x'.repeat(700000);
  assert.ok((await put(open, 'ann/w-long', long)).header);
  const event = (await watch.next()).result.events[0];
  assert.strictEqual(Buffer.from(event.kv.value, 'base64').toString(), long);
  await watch.say({ cancel_request: { watch_id: 0 } });
  assert.strictEqual((await watch.next()).result.canceled, true);
  watch.socket.close(1000);
  assert.strictEqual(await watch.closed, 1000);

  const denied = new Socket(open, '/v3/kv/put', ['Bearer', token]);
  await denied.say({ key: b64('other'), value: '' });
  assert.strictEqual((await denied.next()).message, 'etcdserver: permission denied');
  const nobody = new Socket(open, '/v3/kv/put', []);
  await nobody.say({ key: b64('ann/a'), value: '' });
  assert.strictEqual((await nobody.next()).message, 'etcdserver: user name is empty');
  const nowhere = new Socket(open, '/v3/nothing', []);
  assert.deepStrictEqual(await nowhere.next(), { code: 5, message: 'Not Found' });
  const meant = new Socket(open, '/v3/%77atch', ['Bearer', token]);
  await meant.say({ create_request: { key: b64('ann/w') } });
  assert.strictEqual((await meant.next()).result.created, true);
  meant.socket.close();
  // Many at once.
  const all = await Promise.all(Array.from({ length: 50 }, (_, i) => put(open, `ann/m${i}`, 'x')));
  assert.strictEqual(new Set(all.map((answer) => answer.header.revision)).size, 50);
  console.log(`ok ${name}`);
}

(async () => {
  assert.ok(Object.keys(kinds).length > 0, 'there is no websocket to try');
  for (const [name, open] of Object.entries(kinds)) await run(name, open);
})().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
