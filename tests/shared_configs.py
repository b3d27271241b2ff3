"""Compose the same choices of this package's configs once in a process of tests, and parse each override once.

Hydra reads thirty files for a config, whatever is typed; the tests compose some thousand, most of them of the same
choices with other values. What depends on the choices alone is kept here and copied, and what is typed is applied to
the copy by Hydra as ever. Configs with files of another origin are composed anew.
"""

import copy

from hydra._internal import config_loader_impl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra.core.override_parser.overrides_parser import OverridesParser

from lightning_gans.config.schemas import CONF_DIR

OURS = {"pkg://hydra.conf", f"file://{CONF_DIR}", "structured://"}

_parse_rule = OverridesParser.parse_rule
_list = config_loader_impl.create_defaults_list
_compose = config_loader_impl.ConfigLoaderImpl._compose_config_from_defaults_list
_load = FileConfigSource.load_config
_parsed, _files, _lists, _composed = {}, {}, {}, {}


def parse_rule(self, line, rule):
    if (line, rule) not in _parsed:
        _parsed[line, rule] = _parse_rule(self, line, rule)
    return copy.deepcopy(_parsed[line, rule])


def load_config(self, config_path):
    if self.full_path() not in OURS:
        return _load(self, config_path)
    if config_path not in _files:
        _files[config_path] = _load(self, config_path)
    return copy.deepcopy(_files[config_path])


def create_defaults_list(repo, config_name, overrides_list, prepend_hydra, skip_missing):
    arguments = {"prepend_hydra": prepend_hydra, "skip_missing": skip_missing}
    is_ours = {source.full_path() for source in repo.get_sources()} <= OURS
    if not is_ours or not (CONF_DIR / f"{config_name}.yaml").is_file():  # one that a resumed run puts together
        return _list(repo, config_name, overrides_list, **arguments)
    overrides = Overrides(repo=repo, overrides_list=overrides_list)
    values = {id(override) for override in overrides.config_overrides}
    choices = tuple(override.input_line for override in overrides_list if id(override) not in values)
    key = (config_name, choices, prepend_hydra, skip_missing)
    if key not in _lists:
        made = _lists[key] = _list(repo, config_name, overrides_list, **arguments)
        _composed[id(made.defaults)] = None
    found = _lists[key]
    overrides.known_choices = dict(found.overrides.known_choices)
    overrides.known_choices_per_group = found.overrides.known_choices_per_group
    return DefaultsList(found.defaults, found.defaults_tree, overrides.config_overrides, overrides)


def compose_config(self, defaults, repo):
    if id(defaults) not in _composed:
        return _compose(self, defaults, repo)
    if _composed[id(defaults)] is None:
        _composed[id(defaults)] = _compose(self, defaults, repo)
    return copy.deepcopy(_composed[id(defaults)])


def install():
    OverridesParser.parse_rule = parse_rule
    FileConfigSource.load_config = load_config
    config_loader_impl.create_defaults_list = create_defaults_list
    config_loader_impl.ConfigLoaderImpl._compose_config_from_defaults_list = compose_config
