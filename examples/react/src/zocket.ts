"use client";
// The provider and the hooks, with the type of the server's router put in once. No code of the server gets into the page.
import { createZocketReact } from "@zocket/core/react";

import type { Board } from "./server.ts";

export const { ZocketProvider, useZocket, useEvent, useCall, useConnection } =
  createZocketReact<Board>();
