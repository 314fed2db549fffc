"""
Builds vision_msgs as a wheel from its .msg files, with gcc, g++ and the rosidl generators alone.

vision_msgs is not on PyPI, and a CMake build would ask for half of a ROS workspace.  This is a
PEP 517 build backend: it runs the generators of the ROS packages that this Python imports,
compiles what they write, and lays the wheel out as an ament_cmake build would: libraries in `lib`,
interface files and resource markers in `share`, the Python package with one extension per type
support.

ROS prefixes are taken from AMENT_PREFIX_PATH, or else from this Python's prefix (ROS from wheels).
"""

import base64
from concurrent.futures import ThreadPoolExecutor
import hashlib
import importlib
import os
from pathlib import Path
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile

NAME, VERSION = 'vision_msgs', '4.1.1'
DEPENDENCIES = ('geometry_msgs', 'std_msgs', 'builtin_interfaces')
TYPE_SUPPORTS = ('c', 'fastrtps_c', 'introspection_c')
SOURCE = Path(__file__).resolve().parent
# A line of a .pth file runs at every start of Python.  ROS finds its parts by AMENT_PREFIX_PATH;
# set here, the environment works however its Python is started.  Last, so that a sourced workspace
# wins.
PREFIX_LINE = (
    "import os, sys; os.environ['AMENT_PREFIX_PATH'] = os.pathsep.join(dict.fromkeys(filter(None, "
    "os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) + [sys.prefix])))\n"
)
# rosidl package -> its generator; each gets a folder of its own, as two write files of one name.
GENERATORS = {
    'rosidl_generator_c': 'GenerateC',
    'rosidl_typesupport_c': 'GenerateCTypesupport',
    'rosidl_typesupport_fastrtps_c': 'GenerateFastRTPSCTypesupport',
    'rosidl_typesupport_introspection_c': 'GenerateIntrospectionCTypesupport',
    'rosidl_generator_py': 'GeneratePython',
}


def missing_tool():
    """Return what is missing for compiling, and how to get it; '' when nothing is."""
    for compiler in 'gcc', 'g++':
        if shutil.which(compiler) is None:
            return f'{compiler} is missing; on Debian or Ubuntu: apt install build-essential'
    if not Path(sysconfig.get_path('include'), 'Python.h').exists():
        return 'Python.h is missing; on Debian or Ubuntu: apt install python3-dev'
    return ''


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    """Build the wheel into ``wheel_directory`` and return its file name (PEP 517)."""
    if missing_tool():
        raise RuntimeError(missing_tool())
    prefixes = [Path(p) for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    prefixes = prefixes or [Path(sys.prefix)]
    os.environ['AMENT_PREFIX_PATH'] = os.pathsep.join(map(str, prefixes))
    with tempfile.TemporaryDirectory() as folder:
        generated, wheel = Path(folder, 'generated'), Path(folder, 'wheel')
        generate(generated)
        data = wheel / f'{NAME}-{VERSION}.data' / 'data'
        compile_all(generated, wheel / NAME, data / 'lib', prefixes)
        install_python(generated, wheel / NAME)
        install_share(generated, data / 'share')
        (wheel / f'{NAME}.pth').write_text(PREFIX_LINE)
        return pack(wheel, Path(wheel_directory))


def generate(out):
    """Write .idl, type hashes (.json) and the sources of every generator below ``out``."""
    from ament_index_python import get_package_share_directory
    from rosidl_adapter.msg import convert_msg_to_idl
    from rosidl_generator_type_description.cli import HashTypeDescription

    for message in sorted(SOURCE.glob('msg/*.msg')):
        convert_msg_to_idl(SOURCE, NAME, message.relative_to(SOURCE), out / 'idl' / 'msg')
    interfaces = [f'{out / "idl"}:msg/{idl.name}' for idl in sorted(out.glob('idl/msg/*.idl'))]
    shares = [get_package_share_directory(package) for package in DEPENDENCIES]
    hashes = HashTypeDescription('hash').generate_type_hashes(
        NAME, interfaces, shares, out / 'json')
    for package, generator in GENERATORS.items():
        generate_with = getattr(importlib.import_module(f'{package}.cli'), generator)(package)
        extra = {'type_description_files': hashes} if package == 'rosidl_generator_c' else {}
        generate_with.generate(NAME, interfaces, shares, out / package / NAME, **extra)


def compile_all(generated, package, lib, prefixes):
    """Compile the libraries into ``lib`` and the Python extensions into ``package``."""
    import numpy

    package.mkdir(parents=True)
    lib.mkdir(parents=True)
    objects = generated / 'objects'
    includes = [generated / name for name in GENERATORS]
    includes += [sysconfig.get_path('include'), numpy.get_include()]
    for prefix in prefixes:
        includes += [prefix / 'include', *(prefix / 'include').glob('*')]
    flags = ['-O2', '-fPIC', '-w', *(f'-I{folder}' for folder in includes)]

    def compile_one(source):
        target = objects / source.relative_to(generated).with_suffix('.o')
        target.parent.mkdir(parents=True, exist_ok=True)
        run(['g++' if source.suffix == '.cpp' else 'gcc', *flags, '-c', source, '-o', target])

    sources = [p for p in generated.rglob('*') if p.suffix in ('.c', '.cpp')]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, sources))
    link_all(objects, package, lib, [prefix / 'lib' for prefix in prefixes])


def link_all(objects, package, lib, lib_folders):
    """Link one library per generator, then one Python extension per type support."""
    folders = [f'-L{folder}' for folder in (lib, *lib_folders)]

    # The type supports are opened by name while a program runs.  Beside a sourced ROS installation
    # no search path leads here, but a library that is loaded already is found; so the Python
    # extensions name all of them, needed or not.
    def link(target, sources, libraries, rpath):
        run(['g++', '-shared', '-Wl,--no-as-needed', *sources, *folders,
             *(f'-l{name}' for name in libraries), f'-Wl,-soname,{target.name}',
             f'-Wl,-rpath,{rpath}', '-o', target])

    common = ['rosidl_runtime_c', 'rcutils']
    made = []
    for generator in GENERATORS:
        libraries = [f'{NAME}__{other}' for other in made]
        libraries += [f'{package}__{kind}' for package in DEPENDENCIES
                      for kind in {generator, 'rosidl_generator_c', 'rosidl_typesupport_c'}]
        if 'typesupport' in generator:
            libraries.append(generator)
        if 'fastrtps' in generator:
            libraries += ['rosidl_typesupport_fastrtps_cpp', 'fastcdr']
        sources = [o for o in (objects / generator).rglob('*.o') if '.ep.' not in o.name]
        link(lib / f'lib{NAME}__{generator}.so', sources, libraries + common, '$ORIGIN')
        made.append(generator)
    for support in (f'rosidl_typesupport_{kind}' for kind in TYPE_SUPPORTS):
        entry = objects / 'rosidl_generator_py' / NAME / f'_{NAME}_s.ep.{support}.o'
        link(package / f'{NAME}_s__{support}.so', [entry],
             [f'{NAME}__{generator}' for generator in made] + common, '$ORIGIN/../../..')


def run(command):
    """Run a compiler; its own words are the error message."""
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f'{command[0]} failed ({command[-1]}):\n{result.stderr}')


def install_python(generated, package):
    """Copy the generated Python modules into ``package``."""
    source = generated / 'rosidl_generator_py' / NAME
    for module in source.rglob('*.py'):
        target = package / module.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(module, target)
    (package / '__init__.py').touch()


def install_share(generated, share):
    """Install interface files and the ament index's resource markers."""
    target = share / NAME / 'msg'
    target.mkdir(parents=True)
    shutil.copy(SOURCE / 'package.xml', share / NAME)
    for folder in SOURCE / 'msg', generated / 'idl' / 'msg', generated / 'json' / 'msg':
        for path in folder.iterdir():
            shutil.copy(path, target)
    interfaces = sorted(f'msg/{p.name}' for p in target.iterdir() if p.suffix != '.json')
    markers = {
        'packages': '',
        'package_run_dependencies': ';'.join(sorted(DEPENDENCIES)),
        'rosidl_interfaces': '\n'.join(interfaces),
    }
    for kind, content in markers.items():
        marker = share / 'ament_index' / 'resource_index' / kind / NAME
        marker.parent.mkdir(parents=True)
        marker.write_text(content)


def pack(wheel, wheel_directory):
    """Add the metadata, zip the folder ``wheel`` and return the file name (PEP 427)."""
    python = f'cp{sys.version_info.major}{sys.version_info.minor}'
    tag = f'{python}-{python}-{sysconfig.get_platform().replace("-", "_").replace(".", "_")}'
    info = wheel / f'{NAME}-{VERSION}.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        f'Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\nLicense: Apache-2.0\n'
        'Summary: Wire-compatible build of the vision_msgs interfaces for Python\n')
    (info / 'WHEEL').write_text(
        f'Wheel-Version: 1.0\nGenerator: {NAME}\nRoot-Is-Purelib: false\nTag: {tag}\n')
    record = info / 'RECORD'
    name = f'{NAME}-{VERSION}-{tag}.whl'
    with zipfile.ZipFile(wheel_directory / name, 'w', zipfile.ZIP_DEFLATED) as archive:
        rows = []
        for path in sorted(p for p in wheel.rglob('*') if p.is_file()):
            content = path.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b'=')
            rows.append(f'{path.relative_to(wheel)},sha256={digest.decode()},{len(content)}')
            archive.write(path, path.relative_to(wheel))
        rows.append(f'{record.relative_to(wheel)},,')
        archive.writestr(str(record.relative_to(wheel)), '\n'.join(rows) + '\n')
    return name
