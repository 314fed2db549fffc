"""The waiting room in front of a tracking session."""
from acme_tracking.detections import Detections
from acme_tracking.sessions.events import (
    Answered,
    Configured,
    DetectionsArrived,
    ImageArrived,
    ImagesDropped,
    ImageSkipped,
    Refused,
    Reset,
)
from acme_tracking.sessions.inbox import Inbox, WaitingDetections, WaitingImage
import numpy as np


def image(number, size=10):
    return WaitingImage(number, number, size, lambda: np.full((1, 1), number, np.uint8), 'header')


def detections(number):
    return WaitingDetections(number, number, Detections.empty)


def taken(inbox):
    """Empty the inbox: what became of everything, in order."""
    events = []
    while (item := inbox.take()) is not None:
        events.append((type(item[0]), item[0].time))
    return events


def filled(*items, **limits):
    inbox = Inbox(**limits)
    for item in items:
        inbox.put(item)
    return inbox


def test_one_image_is_worked_on():
    inbox = filled(image(1))
    event, origin = inbox.take()
    assert (type(event), event.stamp, int(event.image[0, 0]), origin) == (
        ImageArrived, 1, 1, 'header')
    assert inbox.take() is None and inbox.bytes == 0


def test_the_newest_image_goes_first_as_soon_as_more_than_one_waits():
    assert taken(filled(image(1), image(2), image(3))) == [
        (ImageSkipped, 1), (ImageSkipped, 2), (ImageArrived, 3)]
    inbox = filled(image(1))
    inbox.take()
    inbox.put(image(2))
    assert taken(inbox) == [(ImageArrived, 2)]


def kept_up(images, *items):
    """Return an inbox whose work kept up with so many images until all this came at once."""
    inbox = filled()
    for number in range(100, 100 + images):
        inbox.put(image(number))
        assert taken(inbox) == [(ImageArrived, number)]
    for item in items:
        inbox.put(item)
    return inbox


def test_work_that_kept_up_until_something_took_long_makes_up_for_two_images():
    assert taken(kept_up(1, image(1), image(2))) == [(ImageArrived, 1), (ImageArrived, 2)]
    for images in 2, 20:
        inbox = kept_up(images, image(1), detections(2), image(3), image(4), image(5))
        assert taken(inbox) == [(ImageSkipped, 1), (DetectionsArrived, 2),
                                *[(ImageArrived, later) for later in (3, 4, 5)]]
    assert taken(kept_up(0, image(1), image(2))) == [(ImageSkipped, 1), (ImageArrived, 2)]


def test_who_is_slower_than_the_images_does_not_make_up_for_any_more():
    inbox = kept_up(2, image(0), image(1))
    numbers, followed = iter(range(2, 20)), []
    while len(followed) < 6:
        event, _ = inbox.take()
        if isinstance(event, ImageArrived):  # while it is worked on, two more come
            followed.append(event.stamp)
            inbox.put(image(next(numbers)))
            inbox.put(image(next(numbers)))
    assert followed == [0, 2, 5, 7, 9, 11], 'the newest, but for two at first'


def test_all_else_keeps_its_place_and_is_never_dropped():
    many = [Answered(number, number, True) for number in range(1000)]
    inbox = filled(image(1), detections(1), *many, image(2), images=1)
    assert taken(inbox) == [(ImagesDropped, 1), (DetectionsArrived, 1),
                            *[(Answered, number) for number in range(1000)], (ImageArrived, 2)]


def test_it_is_bounded_in_images_and_bytes_and_says_what_it_dropped():
    inbox = filled(*map(image, range(10)), images=3)
    assert inbox.take()[0] == ImagesDropped(7, 7)
    assert taken(inbox) == [(ImageSkipped, 7), (ImageSkipped, 8), (ImageArrived, 9)]
    inbox = filled(*map(image, range(100)), bytes=45)
    assert inbox.bytes == 40 and len(inbox) == 4
    assert taken(inbox)[-1] == (ImageArrived, 99) and inbox.bytes == 0
    inbox = filled(image(1, size=10**9))
    assert taken(inbox) == [(ImageArrived, 1)], 'the newest stays, however large'


def test_a_reset_ends_what_waits_but_for_parameters_and_answers():
    inbox = filled(image(1), detections(1), Configured(2, None), Answered(3, 7, True), image(4),
                   Reset(5), image(6), detections(6))
    assert taken(inbox) == [(Configured, 2), (Answered, 3), (Reset, 5), (ImageArrived, 6),
                            (DetectionsArrived, 6)]
    assert inbox.bytes == 0


def broken():
    raise ValueError('no pixels')


def test_what_cannot_be_read_is_refused_when_its_turn_comes():
    inbox = filled(WaitingImage(1, 1, 10, broken), WaitingDetections(2, 2, broken))
    assert inbox.take() == (Refused(1, 'images', 'no pixels'), None)
    assert inbox.take() == (Refused(2, 'detections', 'no pixels'), None)
