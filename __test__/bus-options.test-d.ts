// The types of `redis()`: one place, no more and no less.
import { redis } from "@zocket/core/bus";

const prefix = "chat";

redis({ prefix, url: "redis://host" });
redis({ prefix, cluster: ["redis://host"] });
redis({ prefix, sentinels: ["redis://host"] as const, name: "main" });
// @ts-expect-error No place.
redis({ prefix });
// @ts-expect-error Sentinels without the name of the server.
redis({ prefix, sentinels: ["redis://host"] });
// @ts-expect-error A list.
redis({ prefix, cluster: "redis://host" });
// @ts-expect-error No prefix.
redis({ url: "redis://host" });
