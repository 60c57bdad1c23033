import numpy as np
print(np.load('g.npy')[41], np.load('r.npy')[41])
