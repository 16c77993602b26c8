// Asks for one page through a proxy and writes it to standard output: page.cjs HOW PROXY URL [CREDENTIAL].
// HOW is a client's name; NODE_PATH says where the packages are. PROXY holds the user's name and password.
'use strict';
const [, , how, proxy, url] = process.argv;

const write = (body) => process.stdout.write(Buffer.from(body));

function collect(module, options) {
  return new Promise((resolve, reject) => {
    module.get(url, options, (answer) => {
      const parts = [];
      if (answer.statusCode !== 200) reject(new Error(`status ${answer.statusCode}`));
      answer.on('data', (part) => parts.push(part)).on('end', () => resolve(Buffer.concat(parts)));
    }).on('error', reject);
  });
}

const clients = {
  async undici() {
    const { ProxyAgent, request } = require('undici');
    const address = new URL(proxy);
    const token = 'Basic ' + Buffer.from(`${decodeURIComponent(address.username)}:${decodeURIComponent(address.password)}`).toString('base64');
    const dispatcher = new ProxyAgent({ uri: address.origin, token });
    const answer = await request(url, { dispatcher });
    if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}`);
    write(await answer.body.arrayBuffer());
    await dispatcher.close();
  },
  async fetch() {
    const { EnvHttpProxyAgent, fetch } = require('undici');
    const dispatcher = new EnvHttpProxyAgent({ httpProxy: proxy, httpsProxy: proxy, noProxy: '' });
    const answer = await fetch(url, { dispatcher });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    write(await answer.arrayBuffer());
    await dispatcher.close();
  },
  async agent() {
    const secure = url.startsWith('https:');
    const agent = secure ? new (require('https-proxy-agent').HttpsProxyAgent)(proxy) : new (require('http-proxy-agent').HttpProxyAgent)(proxy);
    write(await collect(require(secure ? 'https' : 'http'), { agent }));
  },
  async axios() {
    const axios = require('axios');
    const address = new URL(proxy);
    const answer = await axios.get(url, {
      responseType: 'arraybuffer',
      proxy: { protocol: 'http', host: address.hostname, port: Number(address.port), auth: { username: address.username, password: address.password } },
    });
    write(answer.data);
  },
};

clients[how]().catch((error) => { console.error(error); process.exitCode = 1; });
