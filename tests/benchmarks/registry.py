"""Contenders by name."""

from contenders import Contender, Pool, PoolOfBlocks, PoolOfOneFloat, Toolkit
from peers import Joblib, Pipefunc, PipefuncDict, Xyzpy, XyzpyCrop

CONTENDERS: dict[str, type[Contender]] = {
    "pool": Pool,
    "pool-one-float": PoolOfOneFloat,
    "pool-blocks": PoolOfBlocks,
    "toolkit": Toolkit,
    "joblib": Joblib,
    "pipefunc-dict": PipefuncDict,
    "pipefunc-files": Pipefunc,
    "xyzpy-crop": XyzpyCrop,
    "xyzpy-harvester": Xyzpy,
}
