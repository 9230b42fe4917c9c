import type { ConnectRouter } from "@connectrpc/connect";
import { Registration as RegistrationService } from "../../gen/pluginregistration/v1/pluginregistration_pb.js";
import type { Logger } from "../base/index.ts";

/** What kubelet is told. */
export interface RegistrationOptions {
  readonly driverName: string;
  /** The CSI socket's path as kubelet sees it. */
  readonly endpoint: string;
  readonly logger: Logger;
}

/** How kubelet learns of the driver, to be served on a socket of its own; and what it made of it. */
export interface Registration {
  readonly routes: (router: ConnectRouter) => void;
  /** Whether kubelet's last word was that the driver is registered. */
  readonly isRegistered: () => boolean;
}

/** The versions of the plugin API that kubelet knows CSI 1.x by. */
const SUPPORTED_VERSIONS = ["1.0.0"];
/** What kubelet says went wrong may hold anything; so much of it is logged. */
const MAX_ERROR_CHARS = 1000;

/**
 * The pluginregistration service. Its answers come from nothing but the options: kubelet waits one second for GetInfo.
 * A registration that failed is tried again by kubelet itself, so the driver just says so.
 */
export function createRegistration({ driverName, endpoint, logger }: RegistrationOptions): Registration {
  let isRegistered = false;
  const info = { type: "CSIPlugin", name: driverName, endpoint, supportedVersions: SUPPORTED_VERSIONS };
  return {
    routes: (router) => {
      router.service(RegistrationService, {
        getInfo: () => info,
        notifyRegistrationStatus: ({ pluginRegistered, error }) => {
          isRegistered = pluginRegistered;
          if (pluginRegistered) logger.info("kubelet registered the driver", { endpoint });
          else {
            logger.warn("kubelet did not register the driver and will try again", {
              endpoint,
              error: error.slice(0, MAX_ERROR_CHARS),
            });
          }
          return {};
        },
      });
    },
    isRegistered: () => isRegistered,
  };
}
