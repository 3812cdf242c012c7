"""Find three points of a cat's face in a cheetah's."""

from geoaware.examples import FOLDER
from geoaware.runtime import Pipeline

pipe = Pipeline.load("lite")
cat = pipe.extract(FOLDER / "chelsea.png")  # FeatureMap; cat.descriptors: (32, 32, 496) float32
points = [(178, 116), (262, 240), (105, 85)]  # (3, 2): x, y in the cat's pixels
matches = pipe.match(cat, FOLDER / "cheetah1.jpg", points)
print(matches.target)  # (3, 2): x, y in the cheetah's pixels
print(matches.similarity)  # (3,): cosine at the most similar cell
print(matches.mutual)  # (3,): whether the way back leads to the same cell
