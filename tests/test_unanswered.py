"""Questions are asked again, ever less often, until they are answered or nobody wants to know."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudburst_runtime.effects import Send
from cloudburst_runtime.messages import Keys
from cloudburst_runtime.unanswered import BACKOFF_MAX, Question, Unanswered

RESEND_MS = 10.0


def asked(*peers: str) -> Unanswered[Question]:
    """One question to each of these, with the numbers 0, 1, 2, …, at the times of their numbers."""
    unanswered: Unanswered[Question] = Unanswered(RESEND_MS)
    for number, peer in enumerate(peers):
        assert unanswered.ask(Question(peer, Keys(number)), float(number)) == Send(peer, Keys(number))
    return unanswered


def test_a_question_is_sent_again_after_ever_longer_intervals_up_to_the_longest() -> None:
    unanswered, now, waits = asked("s2"), 0.0, []
    for _ in range(7):
        assert unanswered.due is not None
        waits.append((unanswered.due - now) / RESEND_MS)
        now = unanswered.due
        assert unanswered.overdue(now - 0.1) == []
        assert unanswered.overdue(now) == [Send("s2", Keys(0))]
    assert waits == [1, 2, 4, 8, BACKOFF_MAX, BACKOFF_MAX, BACKOFF_MAX]


@given(st.lists(st.sampled_from(["s1", "s2"]), max_size=8), st.sets(st.integers(0, 9)), st.integers(0, 9))
def test_what_was_answered_or_is_not_wanted_is_sent_no_more(peers, answered, wanted_from) -> None:
    unanswered = asked(*peers)
    for number in sorted(answered):
        taken = unanswered.take(number)
        assert (taken is not None) == (number < len(peers))
        assert unanswered.take(number) is None
    unanswered.drop(lambda question: question.message.req < wanted_from)
    left = [number for number in range(len(peers)) if number not in answered and number >= wanted_from]
    assert list(unanswered.open) == left
    assert unanswered.due == (left[0] + RESEND_MS if left else None)
    assert [each.message.req for each in unanswered.sent_to("s1")] == [
        number for number in left if peers[number] == "s1"
    ]
    assert unanswered.overdue(100.0) == [Send(peers[number], Keys(number)) for number in left]


def test_what_is_asked_again_before_its_time_keeps_its_interval_and_may_have_been_taken_out() -> None:
    unanswered = asked("s2")
    unanswered.overdue(RESEND_MS)
    question = unanswered.take(0)
    assert question is not None
    question.message.prefix = "k"
    assert unanswered.ask_again(question, 15.0) == Send("s2", Keys(0, "k"))
    assert unanswered.due == 15.0 + 2 * RESEND_MS
