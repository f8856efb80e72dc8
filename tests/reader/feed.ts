// A second reader of the restriction feed, written from the format's description alone (the module docs of shared/src/feed
// and the vectors). It shares no code with the product.
import { createHash, createPublicKey, verify } from "node:crypto";
import { inflateSync } from "node:zlib";

export class Refused extends Error {}
const refuse = (code: string): never => { throw new Refused(code); };
const LIST = 1n << 20n, LIMIT = 1n << 53n, MAX_REVOKED = 1n << 27n, MAX_RETIRED = 1n << 20n, MAX_STATE = 64 << 20;
export const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest();

// Bytes
class Reader {
  at = 0;
  bytes; constructor(bytes: Buffer) { this.bytes = bytes; }
  raw(length: number): Buffer {
    if (this.at + length > this.bytes.length) refuse("malformed");
    return this.bytes.subarray(this.at, (this.at += length));
  }
  u8 = () => this.raw(1)[0];
  varint(limit = 1n << 64n): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return (byte === 0 && shift > 0n) || value >= limit ? refuse("malformed") : value;
    }
    return refuse("malformed");
  }
  field = (limit = MAX_STATE) => {
    const length = this.varint();
    return length > BigInt(limit) ? refuse("malformed") : this.raw(Number(length));
  };
  version = () => this.u8() === 1 || refuse("malformed");
  end = () => this.at === this.bytes.length || refuse("malformed");
}
const varint = (value: bigint): Buffer =>
  value < 0x80n ? Buffer.from([Number(value)]) : Buffer.concat([Buffer.from([Number(value & 0x7fn) | 0x80]), varint(value >> 7n)]);
const field = (bytes: Buffer) => Buffer.concat([varint(BigInt(bytes.length)), bytes]);

// Keys
const ed25519 = (raw: Buffer) =>
  createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });
const signed = (raw: Buffer, signature: Buffer, ...message: (string | Buffer)[]) =>
  verify(null, Buffer.concat(message.map((part) => Buffer.from(part as string))), ed25519(raw), signature);

// Sets of numbers as ascending inclusive ranges that neither touch nor overlap
type Ranges = [bigint, bigint][];
const size = (ranges: Ranges) => ranges.reduce((sum, [first, last]) => sum + last - first + 1n, 0n);
const union = (a: Ranges, b: Ranges): Ranges => {
  const out: Ranges = [];
  for (const [first, last] of [...a, ...b].sort((x, y) => (x[0] < y[0] ? -1 : x[0] > y[0] ? 1 : 0))) {
    const end = out.at(-1);
    if (end && first <= end[1] + 1n) end[1] = last > end[1] ? last : end[1];
    else out.push([first, last]);
  }
  return out;
};
const minus = (a: Ranges, b: Ranges): Ranges =>
  b.reduce((left: Ranges, [from, to]) => left.flatMap(([first, last]): Ranges => {
    const parts: Ranges = [[first, from - 1n < last ? from - 1n : last], [to + 1n > first ? to + 1n : first, last]];
    return parts.filter(([x, y]) => x <= y);
  }), a);
const has = (ranges: Ranges, number: bigint) => ranges.some(([first, last]) => first <= number && number <= last);
const readRanges = (r: Reader, limit: bigint, most: bigint): Ranges => {
  const out: Ranges = [];
  let end = 0n;
  for (let left = r.varint(); left > 0n; left--) {
    const gap = r.varint(), first = end + gap, last = first + r.varint();
    if ((gap === 0n && out.length) || last >= limit) refuse("malformed");
    out.push([first, last]);
    end = last + 1n;
  }
  return out.length && size(out) <= most ? out : refuse("malformed");
};
const writeRanges = (ranges: Ranges): Buffer => {
  const pairs = ranges.flatMap(([first, last], at) => [varint(first - (at ? ranges[at - 1][1] + 1n : 0n)), varint(last - first)]);
  return Buffer.concat([varint(BigInt(ranges.length)), ...pairs]);
};

// Names that entries are about: compared field by field
type Name = { order: (bigint | Buffer)[]; bytes: Buffer };
const order = (a: bigint | Buffer, b: bigint | Buffer) => (a instanceof Buffer ? Buffer.compare(a, b as Buffer) : a < b ? -1 : a > b ? 1 : 0);
const compare = (a: Name, b: Name): number => a.order.reduce((less: number, mine, at) => less || order(mine, b.order[at]), 0);
const KINDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
const FIELDS: Record<number, string> = { 1: "n", 2: "n", 3: "nn", 4: "t", 5: "t", 6: "t", 7: "n", 8: "nnn", 9: "tt" };
const readName = (r: Reader, shapes: Record<number, string>): Name => {
  const start = r.at, tag = r.u8();
  const shape = shapes[tag] ?? refuse("malformed");
  const fields = [...shape].map((kind) => (kind === "n" ? r.varint(LIMIT) : r.field(2048)));
  return { order: [BigInt(tag), ...fields], bytes: r.bytes.subarray(start, r.at) };
};
const subject = (r: Reader) => readName(r, FIELDS);
const issuer = (name: Buffer): Name => ({ order: [name], bytes: field(name) }); // what else it says is not needed to join it
const keyName = (r: Reader) => readName(r, { 0: "n", 1: "tt" });

// Entries
type Entry = { kind: number; critical: boolean; bytes: Buffer; name?: Name; value?: bigint; scopes?: bigint; ranges?: Ranges; payload: Buffer; root?: Buffer; length?: bigint; orgs?: bigint[] };
const entryBytes = (kind: number, payload: Buffer, critical = 1) => Buffer.concat([Buffer.from([kind, critical]), field(payload)]);
const readEntry = (r: Reader): Entry => {
  const start = r.at, kind = r.u8(), flags = r.u8(), payload = r.field(), p = new Reader(payload);
  if (flags > 1) refuse("malformed");
  // 12 is 10 with keys that not every consumer knows: what is known of an issuer is one thing.
  const entry: Entry = { kind: kind === 12 ? 10 : kind, critical: flags === 1, bytes: r.bytes.subarray(start, r.at), payload };
  if (!KINDS.includes(kind)) return entry;
  if (!entry.critical) refuse("malformed");
  if (kind === 1) entry.ranges = readRanges(p, LIMIT, MAX_REVOKED);
  else if (kind === 9) entry.ranges = readRanges(p, LIMIT / LIST, MAX_RETIRED);
  else if (kind === 2 || kind === 4) [entry.name, entry.value] = [subject(p), p.varint()];
  else if (kind === 3 || kind === 7) {
    const number = p.varint(LIMIT);
    [entry.name, entry.value] = [{ order: [number], bytes: varint(number) }, p.varint()];
  } else if (kind === 5) {
    entry.name = keyName(p);
    const middle = p.at, purpose = p.u8();
    p.u8(), p.field(512);
    entry.payload = payload.subarray(middle, p.at); // what the root signs, after feed and number
    const option = p.u8();
    if (option > 1) refuse("malformed");
    if (option) entry.root = p.raw(64);
    if ((entry.name.order[0] === 0n) !== Boolean(option) || (purpose === 3) !== !option) refuse("malformed");
  } else if (kind === 6) entry.name = keyName(p);
  else if (entry.kind === 10) [entry.name, entry.value, entry.payload] = [issuer(p.field(512)), p.varint(), p.raw(payload.length - p.at)];
  else if (kind === 8) [entry.value, entry.payload] = [p.varint(), p.field()];
  else if (kind === 11) {
    [entry.value, entry.orgs] = [p.varint(), Array.from({ length: Number(p.varint((1n << 16n) + 1n)) }, () => p.varint(LIMIT))];
    if (entry.orgs.some((org, at, all) => at && org <= all[at - 1])) refuse("malformed");
  }
  if (kind === 4) entry.scopes = p.varint();
  else if (kind === 7) [entry.length, entry.scopes] = [entry.value, p.varint(LIMIT)];
  p.end();
  return entry;
};
const readEntries = (r: Reader) => Array.from({ length: Number(r.varint()) }, () => readEntry(r));

// The joined state
class State {
  revoked: Ranges = [];
  retired: Ranges = [];
  named = new Map<string, Entry>(); // kinds 2 to 7 and 10, under kind and name
  policy?: Entry;
  admitted?: Entry;
  unknown = new Map<string, Entry>();
  key = (kind: number, name: Name) => `${kind}:${name.bytes.toString("hex")}`;
  of = (kind: number) => [...this.named.values()].filter((e) => e.kind === kind).sort((a, b) => compare(a.name!, b.name!));
  isRetired = (index: bigint) => has(this.retired, index / LIST);
  /** Whether a state keeps nothing about what this entry names. */
  isGone(e: Entry): boolean {
    const number = e.name?.order.at(-1) as bigint;
    if (e.kind === 7) {
      const [first, last] = [number / LIST, (number + e.length! - 1n) / LIST];
      return size(minus([[first, last]], this.retired)) === 0n;
    }
    return (e.kind === 3 || ((e.kind === 2 || e.kind === 4) && e.name!.order[0] === 7n)) && this.isRetired(number);
  }
  admits(e: Entry): boolean {
    if (e.kind === 1) return size(this.revoked) + size(e.ranges!) <= MAX_REVOKED;
    if (e.kind === 9) return size(this.retired) + size(e.ranges!) <= MAX_RETIRED;
    if (e.kind === 5) return this.named.get(this.key(5, e.name!))?.bytes.equals(e.bytes) ?? true;
    if (e.kind !== 7) return true;
    const [start, end] = [e.name!.order[0] as bigint, (e.name!.order[0] as bigint) + e.length!];
    return this.of(7).every((b) => {
      const other = b.name!.order[0] as bigint;
      return b.bytes.equals(e.bytes) || other + b.length! <= start || other >= end;
    });
  }
  join(e: Entry) {
    if (e.kind === 1 || e.kind === 9) {
      if (e.kind === 1) this.revoked = union(this.revoked, e.ranges!);
      else this.retired = union(this.retired, e.ranges!);
      this.revoked = minus(this.revoked, this.retired.map(([a, b]): [bigint, bigint] => [a * LIST, (b + 1n) * LIST - 1n]));
      for (const [key, known] of this.named) if (this.isGone(known)) this.named.delete(key);
    } else if (e.kind === 8) {
      const known = this.policy, order = known && e.value === known.value ? Buffer.compare(e.payload, known.payload) : 1;
      if (!known || (e.value! >= known.value! && order > 0)) this.policy = e;
    } else if (e.kind === 11) {
      const known = this.admitted, orgs = e.orgs!.filter((org) => known?.value !== e.value || known!.orgs!.includes(org));
      const bytes = entryBytes(11, Buffer.concat([e.value!, BigInt(orgs.length), ...orgs].map(varint)));
      if (!known || known.value! <= e.value!) this.admitted = { ...e, orgs, bytes };
    } else if (!KINDS.includes(e.kind)) this.unknown.set(e.bytes.toString("hex"), e);
    else if (!this.isGone(e)) this.#joinNamed(e, this.key(e.kind, e.name!));
  }
  #joinNamed(e: Entry, key: string) {
    const known = this.named.get(key);
    if (e.kind === 5 && this.named.has(this.key(6, e.name!))) return;
    if (e.kind === 6) this.named.delete(this.key(5, e.name!));
    if (known && ((e.kind === 2 && known.value! >= e.value!) || (e.kind === 3 && known.value! <= e.value!))) return;
    if (known && (e.kind === 4 || e.kind === 10) && known.value! > e.value!) return;
    if (known && e.kind === 10 && known.value === e.value && Buffer.compare(e.payload, known.payload) >= 0) return;
    if (known && e.kind === 4 && known.value === e.value) {
      const scopes = known.scopes! & e.scopes!;
      e = { ...e, scopes, bytes: entryBytes(4, Buffer.concat([e.name!.bytes, varint(e.value!), varint(scopes)])) };
    }
    this.named.set(key, e);
  }
  encode(): Buffer {
    const entries: Buffer[] = [];
    if (this.revoked.length) entries.push(entryBytes(1, writeRanges(this.revoked)));
    for (const kind of [2, 3, 4, 5, 6, 7]) entries.push(...this.of(kind).map((e) => e.bytes));
    if (this.policy) entries.push(this.policy.bytes);
    if (this.retired.length) entries.push(entryBytes(9, writeRanges(this.retired)));
    entries.push(...this.of(10).map((e) => e.bytes));
    if (this.admitted) entries.push(this.admitted.bytes);
    entries.push(...[...this.unknown.values()].map((e) => e.bytes).sort(Buffer.compare));
    return Buffer.concat([varint(BigInt(entries.length)), ...entries]);
  }
  static decode(bytes: Buffer): State {
    const state = new State(), r = new Reader(bytes);
    for (const e of readEntries(r)) state.admits(e) ? state.join(e) : refuse("malformed");
    return r.end() && state.encode().equals(bytes) ? state : refuse("malformed");
  }
  /** Whether nothing that `other` restricts is free here. */
  keeps(other: State): boolean {
    const lists = this.retired.map(([a, b]): [bigint, bigint] => [a * LIST, (b + 1n) * LIST - 1n]);
    const met = new State();
    for (const e of [other.admitted, this.admitted]) if (e) met.join(e);
    const kept = (e: Entry) => {
      const mine = this.named.get(this.key(e.kind, e.name!));
      if (e.kind === 5 || e.kind === 7 || this.isGone(e)) return true;
      if (!mine || e.kind === 6) return Boolean(mine);
      if (e.kind === 2 || e.kind === 3) return e.kind === 2 ? mine.value! >= e.value! : mine.value! <= e.value!;
      if (e.kind === 10) return mine.value! > e.value! || (mine.value === e.value && Buffer.compare(e.payload, mine.payload) >= 0);
      return mine.value! > e.value! || (mine.value === e.value && (e.scopes! & mine.scopes!) === mine.scopes!);
    };
    return !size(minus(minus(other.revoked, this.revoked), lists)) && !size(minus(other.retired, this.retired))
      && [...other.named.values()].every(kept) && (!other.policy || (this.policy?.value ?? -1n) >= other.policy.value!)
      && (!other.admitted || met.admitted!.bytes.equals(this.admitted?.bytes ?? Buffer.alloc(0)))
      && [...other.unknown.keys()].every((key) => this.unknown.has(key));
  }
}

// A consumer: strictly in order, never backwards
export class Replica {
  head?: { epoch: bigint; seq: bigint; digest: Buffer };
  state = new State();
  feed;
  root;
  constructor(feed: Buffer, root: Buffer) { [this.feed, this.root] = [feed, root]; }
  accept(bytes: Buffer): string {
    const r = new Reader(bytes);
    r.version();
    const type = r.u8();
    if (type < 1 || type > 4) refuse("malformed");
    const certificate = r.field(256), body = r.field(32 << 20), signature = r.raw(64);
    r.end();
    const c = new Reader(certificate);
    c.version();
    const feed = c.raw(16), epoch = c.varint(), number = c.varint(LIMIT), key = c.raw(32);
    c.varint();
    const unsigned = certificate.subarray(0, c.at), vouched = c.raw(64);
    c.end();
    if (!feed.equals(this.feed)) refuse("wrong_feed");
    const removed = this.state.named.has(`6:00${varint(number).toString("hex")}`);
    if (removed || !signed(this.root, vouched, "portcullis/feed-key/v1", unsigned)) refuse("bad_certificate");
    if (!signed(key, signature, "portcullis/feed/v1", Buffer.from([type]), body)) refuse("bad_signature");
    const b = new Reader(body);
    b.version();
    const [of, at, seq] = [b.raw(16), b.varint(), b.varint()];
    const origin = () => (of.equals(this.feed) ? at === epoch || refuse("bad_certificate") : refuse("wrong_feed"));
    if (type === 4) refuse("unexpected");
    return type === 1 ? this.#frame(b, at, seq, origin) : type === 2 ? this.#snapshot(b, at, seq, origin) : this.#heartbeat(b, at, seq, origin);
  }
  #frame(b: Reader, epoch: bigint, seq: bigint, origin: () => unknown): string {
    const previous = b.raw(32);
    b.varint();
    const entries = readEntries(b), digest = sha256(b.bytes);
    b.end(), origin();
    const head = this.head;
    if (!head) (epoch === 1n && seq === 1n && previous.equals(Buffer.alloc(32))) || refuse("gap");
    else if (epoch !== head.epoch) refuse(epoch < head.epoch ? "lower_epoch" : "gap");
    else if (seq <= head.seq) refuse(seq === head.seq && !digest.equals(head.digest) ? "fork" : "replayed");
    else if (seq !== head.seq + 1n) refuse("gap");
    else if (!previous.equals(head.digest)) refuse("fork");
    const trial = new State();
    let [revoked, retired] = [size(this.state.revoked), size(this.state.retired)];
    for (const e of entries) {
      this.#check(e);
      if (!this.state.admits(e) || !trial.admits(e)) refuse("undoes");
      if (e.kind === 5 || e.kind === 7) trial.join(e);
      if (e.kind === 1) revoked += size(e.ranges!);
      if (e.kind === 9) retired += size(e.ranges!);
    }
    if (revoked > MAX_REVOKED || retired > MAX_RETIRED) refuse("undoes");
    for (const e of entries) this.state.join(e);
    this.head = { epoch, seq, digest };
    return "frame";
  }
  #snapshot(b: Reader, epoch: bigint, seq: bigint, origin: () => unknown): string {
    const digest = b.raw(32), stateDigest = b.raw(32), length = Number(b.varint()), packed = b.field();
    b.end();
    if (length > MAX_STATE) refuse("malformed");
    const raw = inflateSync(packed, { maxOutputLength: Math.max(length, 1) });
    if (raw.length !== length || !sha256(raw).equals(stateDigest)) refuse("malformed");
    const state = State.decode(raw), head = this.head;
    origin();
    if (head && epoch < head.epoch) refuse("lower_epoch");
    if (head && epoch === head.epoch && seq <= head.seq) refuse(seq === head.seq && !digest.equals(head.digest) ? "fork" : "replayed");
    if (head && (seq < head.seq || !state.keeps(this.state))) refuse("undoes");
    for (const e of readEntries(new Reader(raw))) this.#check(e);
    [this.state, this.head] = [state, { epoch, seq, digest }];
    return "snapshot";
  }
  #heartbeat(b: Reader, epoch: bigint, seq: bigint, origin: () => unknown): string {
    const digest = b.raw(32);
    b.raw(32), b.varint(), b.end(), origin();
    const head = this.head ?? refuse("gap");
    if (epoch < head.epoch) refuse("lower_epoch");
    if (epoch > head.epoch || seq > head.seq) refuse("gap");
    if (seq < head.seq) refuse("replayed");
    return digest.equals(head.digest) ? "heartbeat" : refuse("fork");
  }
  #check(e: Entry) {
    if (!KINDS.includes(e.kind) && e.critical) refuse("incompatible");
    if (e.kind !== 5 || e.name!.order[0] !== 0n) return;
    const number = varint(e.name!.order[1] as bigint);
    signed(this.root, e.root!, "portcullis/issuing-key/v1", this.feed, number, e.payload) || refuse("key_not_certified");
  }
}
