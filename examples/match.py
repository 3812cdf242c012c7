"""Find four points of a cheetah's face in a cat's."""

from geoaware.examples import FOLDER
from geoaware.runtime import Pipeline

pipe = Pipeline.load("lite")
cheetah = pipe.extract(FOLDER / "cheetah1.jpg")  # FeatureMap; .descriptors: (32, 32, 496) float32
points = [(90, 92), (163, 94), (124, 150), (127, 185)]  # (4, 2): x, y in the cheetah's pixels
matches = pipe.match(cheetah, FOLDER / "chelsea.png", points)
print(matches.target)  # (4, 2): x, y in the cat's pixels
print(matches.similarity)  # (4,): cosine at the most similar cell
print(matches.mutual)  # (4,): whether the way back leads to the same cell
