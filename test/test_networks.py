"""The networks: counts of the papers, names of the public checkpoints, and that they learn."""
from acme_tracking.detection.network import DetectionNetwork
from acme_tracking.networks import build, NAMES
import pytest
import torch

BATCH_NORM = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
SLIM = {name: {'hidden': 64} for name in NAMES if name.startswith(('vgg', 'alexnet', 'zfnet'))}
SIDES = {'alexnet': 64, 'zfnet': 64}
RATES = {'lenet5': 2e-3, **dict.fromkeys(SLIM, 1e-4), 'alexnet': 3e-4, 'zfnet': 3e-4}

# One of every kind: the others differ in the number of their layers.
LEARNING = ('lenet5', 'alexnet', 'zfnet', 'vgg_a_lrn', 'vgg_c', 'googlenet', 'resnet18',
            'resnet50', 'smaller_vgg')


def on_meta(name, classes=1000, **arguments):
    """Build a network without memory for its weights."""
    with torch.device('meta'):
        return build(name, classes, **arguments)


def count(network, but=()):
    return sum(p.numel() for name, p in network.named_parameters() if not name.startswith(but))


@pytest.mark.parametrize(('name', 'weights'), {
    'alexnet': 61_100_840, 'zfnet': 62_357_608, 'vgg_a': 132_863_336, 'vgg_a_lrn': 132_863_336,
    'vgg_b': 133_047_848, 'vgg_c': 133_638_952, 'vgg16': 138_357_544, 'vgg19': 143_667_240,
    'resnet18': 11_689_512, 'resnet34': 21_797_672, 'resnet50': 25_557_032,
    'resnet101': 44_549_160, 'resnet152': 60_192_808}.items())
def test_counts(name, weights):
    assert count(on_meta(name)) == weights


def test_counts_as_the_papers_print_them():
    """The table 2 of VGG in millions, the text of LeNet-5 (whose output is fixed), GoogLeNet's."""
    printed = {'vgg_a': 133, 'vgg_a_lrn': 133, 'vgg_b': 133, 'vgg_c': 134, 'vgg_d': 138,
               'vgg_e': 144}
    assert {name: round(count(on_meta(name)) / 1e6) for name in printed} == printed
    lenet = on_meta('lenet5', 10)
    assert count(lenet, but='output') == 60_000
    parts = {name: count(getattr(lenet, name)) for name in ('c1', 's2', 'c3', 's4', 'c5', 'f6')}
    assert parts == {'c1': 156, 's2': 12, 'c3': 1_516, 's4': 32, 'c5': 48_120, 'f6': 10_164}
    assert count(on_meta('googlenet'), but='aux') == 6_624_904
    assert count(on_meta('googlenet')) == 13_004_888


def parameters_of(**shapes):
    """Return {name.weight, name.bias: shape} for layers with a bias."""
    return {f'{name.replace("_", ".")}.{kind}': shape if kind == 'weight' else shape[:1]
            for name, shape in shapes.items() for kind in ('weight', 'bias')}


def convolution_and_norm(convolution, norm, shape):
    sizes = dict.fromkeys(BATCH_NORM[:-1], shape[:1])
    return {f'{convolution}.weight': shape,
            **{f'{norm}.{kind}': sizes.get(kind, ()) for kind in BATCH_NORM}}


def public_alexnet():
    return parameters_of(
        features_0=(64, 3, 11, 11), features_3=(192, 64, 5, 5), features_6=(384, 192, 3, 3),
        features_8=(256, 384, 3, 3), features_10=(256, 256, 3, 3), classifier_1=(4096, 9216),
        classifier_4=(4096, 4096), classifier_6=(1000, 4096))


def public_vgg(indices):
    """Return the shapes for the places of the convolutions of each width."""
    shapes = parameters_of(classifier_0=(4096, 25088), classifier_3=(4096, 4096),
                           classifier_6=(1000, 4096))
    before = 3
    for width, places in zip((64, 128, 256, 512, 512), indices):
        for place in places:
            shapes.update(parameters_of(**{f'features_{place}': (width, before, 3, 3)}))
            before = width
    return shapes


def public_resnet(depths, bottleneck):
    shapes = {**convolution_and_norm('conv1', 'bn1', (64, 3, 7, 7)),
              **parameters_of(fc=(1000, 2048 if bottleneck else 512))}
    before = 64
    for number, (depth, width) in enumerate(zip(depths, (64, 128, 256, 512)), 1):
        after = 4 * width if bottleneck else width
        for index in range(depth):
            kernels = (1, 3, 1) if bottleneck else (3, 3)
            outputs = (width, width, after) if bottleneck else (width, width)
            inputs = (before, *outputs)
            for layer, kernel in enumerate(kernels, 1):
                shapes.update(convolution_and_norm(
                    f'layer{number}.{index}.conv{layer}', f'layer{number}.{index}.bn{layer}',
                    (outputs[layer - 1], inputs[layer - 1], kernel, kernel)))
            if before != after:
                shapes.update(convolution_and_norm(
                    f'layer{number}.{index}.downsample.0', f'layer{number}.{index}.downsample.1',
                    (after, before, 1, 1)))
            before = after
    return shapes


def public_googlenet():
    def layer(name, *shape):
        return convolution_and_norm(f'{name}.conv', f'{name}.bn', shape)
    shapes = {**layer('conv1', 64, 3, 7, 7), **layer('conv2', 64, 64, 1, 1),
              **layer('conv3', 192, 64, 3, 3), **parameters_of(fc=(1000, 1024))}
    modules = """3a 192 64 96 128 16 32 32|3b 256 128 128 192 32 96 64|4a 480 192 96 208 16 48 64
        4b 512 160 112 224 24 64 64|4c 512 128 128 256 24 64 64|4d 512 112 144 288 32 64 64
        4e 528 256 160 320 32 128 128|5a 832 256 160 320 32 128 128
        5b 832 384 192 384 48 128 128"""
    for text in modules.replace('\n', '|').split('|'):
        name, *numbers = text.split()
        x, a, b1, b2, c1, c2, d = map(int, numbers)
        name = f'inception{name}'
        shapes |= {**layer(f'{name}.branch1', a, x, 1, 1),
                   **layer(f'{name}.branch2.0', b1, x, 1, 1),
                   **layer(f'{name}.branch2.1', b2, b1, 3, 3),
                   **layer(f'{name}.branch3.0', c1, x, 1, 1),
                   **layer(f'{name}.branch3.1', c2, c1, 3, 3),
                   **layer(f'{name}.branch4.1', d, x, 1, 1)}
    for name, x in (('aux1', 512), ('aux2', 528)):
        shapes |= {**layer(f'{name}.conv', 128, x, 1, 1),
                   **parameters_of(**{f'{name}_fc1': (1024, 2048), f'{name}_fc2': (1000, 1024)})}
    return shapes


PUBLIC = {
    'alexnet': public_alexnet(),
    'vgg11': public_vgg([(0,), (3,), (6, 8), (11, 13), (16, 18)]),
    'vgg13': public_vgg([(0, 2), (5, 7), (10, 12), (15, 17), (20, 22)]),
    'vgg16': public_vgg([(0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)]),
    'vgg19': public_vgg([(0, 2), (5, 7), (10, 12, 14, 16), (19, 21, 23, 25), (28, 30, 32, 34)]),
    'googlenet': public_googlenet(),
    'resnet18': public_resnet((2, 2, 2, 2), bottleneck=False),
    'resnet34': public_resnet((3, 4, 6, 3), bottleneck=False),
    'resnet50': public_resnet((3, 4, 6, 3), bottleneck=True),
    'resnet101': public_resnet((3, 4, 23, 3), bottleneck=True),
    'resnet152': public_resnet((3, 8, 36, 3), bottleneck=True),
}


@pytest.mark.parametrize('name', PUBLIC)
def test_a_state_dict_with_the_public_names_loads_strictly(name):
    state = {key: torch.empty(shape, device='meta') for key, shape in PUBLIC[name].items()}
    on_meta(name).load_state_dict(state, strict=True, assign=True)


@pytest.mark.parametrize('name', NAMES)
def test_blocks_and_head_are_all_layers_with_weights_from_input_to_output(name):
    network = on_meta(name, 7)
    groups = [layer for block in network.blocks for layer in block] + list(network.head)
    for parameter, _ in network.named_parameters():
        assert sum(parameter.startswith(f'{layer}.') for layer in groups) == 1, parameter
    assert all(network.get_submodule(layer).out_features == 7 for layer in network.head)
    assert network.get_submodule(network.last_pool) is not None
    order = [parameter for parameter, _ in network.named_parameters()
             if not parameter.startswith('aux')]
    assert order == sorted(order, key=lambda parameter: next(
        place for place, layer in enumerate(groups) if parameter.startswith(f'{layer}.')))


def eight_images(name):
    """
    Return a network to train, eight images and a function that gives their loss.

    With narrow linear layers where there are 120 million weights in them, without dropout.
    """
    torch.manual_seed(0)
    side = SIDES.get(name, 32)
    network = build(name, 4, **SLIM.get(name, {})).train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    images, labels = torch.randn(8, 3, side, side), torch.arange(8) % 4

    def loss():
        outputs = network(images)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        value = sum(torch.nn.functional.cross_entropy(each, labels) for each in outputs)
        assert torch.isfinite(value)
        return value, (outputs[0].argmax(dim=1) == labels).all()
    return network, loss


@pytest.mark.parametrize('name', NAMES)
def test_every_weight_learns(name):
    network, loss = eight_images(name)
    loss()[0].backward()
    still = [key for key, value in network.named_parameters()
             if value.grad is None or not value.grad.any()]
    assert still == []


@pytest.mark.parametrize('name', LEARNING)
def test_overfits_eight_images(name):
    network, loss = eight_images(name)
    optimizer = torch.optim.Adam(network.parameters(), RATES.get(name, 1e-3), fused=True)
    for _ in range(60):
        value, right = loss()
        if value < 0.3 and right:
            return
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    pytest.fail(f'{name} has not learned eight images: loss {value.item():.3f}')


@pytest.mark.parametrize('name', ['vgg_c', 'googlenet', 'resnet50', 'smaller_vgg'])
def test_other_sizes_and_single_images(name):
    network = build(name, 3, **SLIM.get(name, {})).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 64, 96)).shape == (1, 3)
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 3)


def test_lenet_takes_grey_and_colour_of_its_size_alone():
    network = build('lenet5', 10)
    grey = torch.randn(1, 1, 32, 32)
    torch.testing.assert_close(network(grey), network(grey.expand(1, 3, 32, 32)))
    with pytest.raises(ValueError, match='32 x 32 pixels, got 40 x 32'):
        network(torch.zeros(1, 1, 32, 40))


def test_the_small_vgg_is_the_backbone_of_the_detector():
    detector, classifier = DetectionNetwork(classes=5), build('smaller_vgg', 5)
    weights = {name: value for name, value in detector.state_dict().items()
               if name.startswith('backbone.')}
    assert not classifier.load_state_dict(weights, strict=False).unexpected_keys
    assert count(classifier) < 2.1e6


@pytest.mark.parametrize(('arguments', 'reason'), [
    (('vgg99', 5), "'vgg99' is unknown, expected one of lenet5, alexnet"),
    (('vgg16', 0), 'classes must be at least 1, got 0')])
def test_bad_requests_are_refused(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        build(*arguments)
    with pytest.raises(ValueError, match=r"does not take \['hidden'\]"):
        build('resnet18', 5, hidden=3)
