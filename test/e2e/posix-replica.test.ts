import { posixSuiteOnVolume } from '../support/posix.ts';

posixSuiteOnVolume(['replica', '3'], 3);
