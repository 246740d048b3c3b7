import { defineConfig } from 'vitest/config';

// Where a `millrace dev` answers, for `npm run dev`.
const api = process.env.MILLRACE_API ?? 'http://127.0.0.1:8080';

export default defineConfig({
  // As `processor/server/src/http/console.rs` serves it.
  base: '/console/',
  build: {
    // Colours are told by `light-dark()`, which is left as it is.
    target: ['chrome123', 'firefox128', 'safari17.5'],
    // One script and one style sheet with stable names: they are in the repository, and in the binary.
    rolldownOptions: {
      output: { entryFileNames: 'console.js', assetFileNames: 'console[extname]', codeSplitting: false },
    },
    cssCodeSplit: false,
    modulePreload: false,
    // What is in the repository is the same wherever it is built, and can be read.
    assetsInlineLimit: 0,
  },
  server: { proxy: { '/v1': api, '/openapi.json': api } },
  test: { include: ['tests/unit/**/*.test.ts'] },
});
