// Vite serves the page, and the WebSocket server stands on the same port.
import type { Server as HttpServer } from "node:http";

import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

import { serve } from "./src/server.ts";

const whiteboard: Plugin = {
  name: "whiteboard",
  configureServer({ httpServer }) {
    if (httpServer) serve(httpServer as HttpServer);
  },
};

// oxlint-disable-next-line import/no-default-export -- Vite wants it so
export default defineConfig({
  plugins: [react(), whiteboard],
  // In a clone, the package is a link to a folder without React.
  resolve: { dedupe: ["react", "react-dom"] },
});
