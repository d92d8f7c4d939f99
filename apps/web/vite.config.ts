import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const server = 'http://localhost:5000';

export default defineConfig({
  plugins: [react()],
  // The node puts a new nonce there in each answer (apps/server/src/http/pages.ts).
  html: { cspNonce: '{{nonce}}' },
  // Browsers that know light-dark(); lowering it would lose the component library's colour scheme.
  build: { cssTarget: ['chrome123', 'firefox120', 'safari17.5'], chunkSizeWarningLimit: 700 },
  // While developing the client, a running node answers.
  server: { proxy: { '/api': server, '/socket.io': { target: server, ws: true } } },
});
