// The application on this package, as built in the repository.
import { z } from "zod";

import { createServer, zocket } from "../../../index.js";
import { listening, schemas } from "./application.mjs";

const zo = zocket.create({ headers: z.object({}) });

const router = zo.router(
  {
    echo: zo.message.incoming({ payload: schemas.echo }),
    echoed: zo.message.outgoing({ payload: schemas.echo }),
    join: zo.message.incoming({ payload: schemas.join }),
    joined: zo.message.outgoing({ payload: schemas.join }),
    publish: zo.message.incoming({ payload: schemas.publish }),
    news: zo.message.outgoing({ payload: schemas.echo }),
  },
  {
    echo({ payload, ctx }) {
      ctx.send.echoed(payload).to(ctx.clientId);
    },
    join({ payload, ctx }) {
      ctx.rooms.join(payload.room);
      ctx.send.joined(payload).to(ctx.clientId);
    },
    publish({ payload, ctx }) {
      ctx.send.news({ n: payload.n, text: payload.text }).toRoom(payload.room);
    },
  },
);

// All defaults: with the process pinned to one core that is one I/O thread.
const server = createServer(router, zo, { hostname: "127.0.0.1", port: 0 });
listening(server.port);
