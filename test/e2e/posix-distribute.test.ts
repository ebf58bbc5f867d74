import { posixSuiteOnVolume } from '../support/posix.ts';

posixSuiteOnVolume([], 3);
