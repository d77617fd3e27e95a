// `ZocketProvider`, and how hooks find it.
import {
  createContext,
  createElement,
  useContext,
  useEffect,
  useInsertionEffect,
  useState,
  type ReactNode,
} from "react";

import type { NoRouter } from "../client/types.js";
import type { AnyRouter } from "../types/routes.js";
import { Session } from "./session.js";
import type { TransformerProp, ZocketProviderProps } from "./types.js";

const Context = createContext<Session | undefined>(undefined);

/**
 * Connects to a server while it is mounted, and gives the components in it the client.
 *
 * @example
 * ```tsx
 * <ZocketProvider<AppRouter> url="wss://example.com" headers={() => ({ authorization: token() })}>
 *   <Chat />
 * </ZocketProvider>
 * ```
 *
 * @throws `TypeError` that names a wrong URL or option.
 */
export function ZocketProvider<TRouter extends AnyRouter = NoRouter>(
  props: ZocketProviderProps<NoInfer<TRouter>> & TransformerProp<NoInfer<TRouter>>,
): ReactNode {
  // Components see the client with the types that they ask for.
  const given: ZocketProviderProps<NoRouter> = props;
  const [kept, keep] = useState(() => new Session(given));
  let session = kept;
  if (String(session.props.url) !== String(props.url)) keep((session = new Session(given)));
  // Not while rendering: React may render with props that it then does not keep.
  useInsertionEffect(() => {
    session.props = given;
  });
  return createElement(
    Context.Provider,
    { value: session },
    createElement(Connected, { session }),
    props.children,
  );
}

/** Stands before the children, so that the client is connecting when their effects use it. */
function Connected({ session }: { readonly session: Session }): null {
  useEffect(session.mount, [session]);
  return null;
}

/** The session of the nearest provider. Throws for the hook of this name if there is none. */
export function useSession(hook: string): Session {
  const session = useContext(Context);
  if (session) return session;
  throw new Error(`${hook}: there is no ZocketProvider around this component`);
}
