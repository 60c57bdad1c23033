import numpy as np
np.save('x0.npy',np.zeros((3,0),np.float32)); np.save('l3.npy',np.array([0,-100,2])); 
np.save('xf.npy',np.asfortranarray(np.random.rand(100,7).astype(np.float32)))
