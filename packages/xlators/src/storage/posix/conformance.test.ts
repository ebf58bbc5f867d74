import { fopConformance } from '@mortar/testing/conformance/index.ts';
import { posixRig } from './rig.ts';

fopConformance(posixRig);
