"""Plugins: found through the entry points of the group ``thalweg``, loaded tolerantly (no torch here).

Whatever is wrong with one plugin is recorded as a :class:`Fault`; the rest loads. The built-in plugins
come first, then all others by distribution, and the first to register a name keeps it.

``THALWEG_PLUGINS=a,b`` loads only the plugins of these entry-point names (and ``core``, always); empty
means no limit. :func:`block`, or ``-p no:NAME`` on the command line, leaves single ones out.

:func:`register` enters a component from Python, :func:`use_file`, or ``-p FILE.py`` on the command line, a
file as a plugin. Nothing else is loaded by name: what a run or network names has to be there by then.
"""

from thalweg.plugins.catalogue import KINDS as KINDS
from thalweg.plugins.catalogue import Component as Component
from thalweg.plugins.catalogue import Fault as Fault
from thalweg.plugins.catalogue import LoadedPlugin as LoadedPlugin
from thalweg.plugins.catalogue import Origin as Origin
from thalweg.plugins.catalogue import Registry as Registry
from thalweg.plugins.catalogue import is_config as is_config
from thalweg.plugins.loading import load as load
from thalweg.plugins.process import block as block
from thalweg.plugins.process import build_component as build_component
from thalweg.plugins.process import files as files
from thalweg.plugins.process import register as register
from thalweg.plugins.process import registry as registry
from thalweg.plugins.process import use_file as use_file
