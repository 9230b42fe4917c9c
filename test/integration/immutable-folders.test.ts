import { dirname, join } from "node:path";
import { test } from "node:test";
import { createConnectClient, Sandbox } from "../driver/index.ts";
import { useImmutable, whyNoImmutable } from "../helpers/immutable.ts";
import { artifact, EmbeddedRegistry, fileLayer } from "../registry/index.ts";
import { assertNothingLeft, attributes, pushThing, REAL, rejectsWith } from "./support.ts";

const IMMUTABLE = { skip: REAL.skip || whyNoImmutable() };

test(
  "immutable folders are named as what is in the way, and volumes come and go once they are not",
  IMMUTABLE,
  async () => {
    await using registry = await EmbeddedRegistry.start();
    await using sandbox = await Sandbox.start();
    using client = createConnectClient(sandbox.socketPath);
    const reference = await pushThing(registry, artifact([fileLayer("file", "1")]));
    const volume = sandbox.kubelet.volume({ attributes: attributes(reference) });
    await volume.prepareFolder();
    const publish = () => client.publish(volume.request());
    const unpublish = () => client.unpublish(volume.volumeId, volume.targetPath);
    for (const name of ["tmp", "volumes"]) {
      using _ = useImmutable(join(sandbox.dataDir, name));
      await rejectsWith(
        publish(),
        "UNAVAILABLE",
        /data dir may not be written \(EPERM\): is it immutable \(chattr \+i\)/,
      );
    }
    {
      using _ = useImmutable(dirname(volume.targetPath));
      await rejectsWith(
        publish(),
        "FAILED_PRECONDITION",
        /folder above it may not be written \(EPERM\): is it immutable/,
      );
    }
    await publish();
    {
      using _ = useImmutable(dirname(volume.targetPath));
      await rejectsWith(unpublish(), "UNAVAILABLE", /may not be removed, is the folder above it immutable/);
    }
    await volume.unpublish();
    await assertNothingLeft(sandbox);
  },
);
