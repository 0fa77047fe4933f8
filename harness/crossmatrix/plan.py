"""placeholder while the planner is written"""

from crossmatrix.needs import BuilderNeeds as BuilderNeeds
from crossmatrix.needs import RunnerNeeds as RunnerNeeds
from crossmatrix.needs import Warm as Warm
