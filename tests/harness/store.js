// A key-value namespace in memory, speaking what workerd's KV binding speaks.
const values = new Map();

export const KV = {
  async fetch(request) {
    const key = decodeURIComponent(new URL(request.url).pathname.slice(1));
    switch (request.method) {
      case 'GET': {
        const value = values.get(key);
        return value === undefined ? new Response(null, { status: 404 }) : new Response(value);
      }
      case 'PUT':
        values.set(key, await request.arrayBuffer());
        return new Response(null, { status: 204 });
      case 'DELETE':
        values.delete(key);
        return new Response(null, { status: 204 });
      default:
        return new Response(null, { status: 405 });
    }
  },
};

export default { fetch: () => new Response(null, { status: 404 }) };
