// Answers with the bytes that ours answers with, and looks at nothing. The headers are made once: nothing is faster.
let headers;
export default {
  fetch(_, env) {
    headers ??= new Headers(JSON.parse(env.HEADERS));
    return new Response(null, { headers });
  },
};
