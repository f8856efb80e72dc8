// What workerd's Cache API speaks to: one cache in memory for all gates of a process. It holds whatever it was told to for
// ever, so that nothing but the Worker itself can keep old answers out.
const kept = new Map();

function parse(bytes) {
  let end = 3;
  while (end < bytes.length && String.fromCharCode(...bytes.subarray(end - 3, end + 1)) !== '\r\n\r\n') end += 1;
  const lines = new TextDecoder().decode(bytes.subarray(0, end - 3)).split('\r\n').slice(1);
  const headers = new Headers(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]));
  for (const name of ['content-length', 'transfer-encoding']) headers.delete(name);
  headers.set('cf-cache-status', 'HIT');
  return new Response(bytes.subarray(end + 1), { headers });
}

export default {
  async fetch(request) {
    const key = `${request.headers.get('cf-cache-namespace')} ${request.url}`;
    if (request.method === 'PUT') {
      kept.set(key, new Uint8Array(await request.arrayBuffer()));
      return new Response(null, { status: 204 });
    }
    const bytes = kept.get(key);
    return bytes ? parse(bytes) : new Response(null, { status: 504, headers: { 'cf-cache-status': 'MISS' } });
  },
};
