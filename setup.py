"""pyproject.toml says everything but this: recipes/ stands beside the package, and is installed inside it."""

from pathlib import Path
from shutil import copytree, rmtree

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRecipes(build_py):
    """Puts recipes/ where rlvr/planning/recipe.py finds them: rlvr/recipes."""

    def run(self) -> None:
        if self.editable_mode:
            return super().run()
        rmtree(self.build_lib, ignore_errors=True)  # or modules of an earlier build would be shipped again
        super().run()
        copytree("recipes", Path(self.build_lib, "rlvr", "recipes"))


setup(cmdclass={"build_py": BuildWithRecipes})
