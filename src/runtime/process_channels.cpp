#include <algorithm>
#include <string>

#include "runtime/processes.h"

namespace pto::wsp::runtime {

namespace {

/// Bodies that a process which shares a channel may have unfinished when it takes another token.
constexpr int most_unfinished_bodies = 2;

}  // namespace

void Processes::refuse_channel(size_t channel, Role role) {
    const std::string process = "process " + current_->process->name;
    if (channel >= channels_.size()) {
        fail(process + " uses channel " + std::to_string(static_cast<int64_t>(channel)) + " of " +
             std::to_string(channels_.size()));
        return;
    }
    fail(process + (role == Sends ? " sends to channel " : " receives from channel ") +
         channels_[channel].spec().name + ", which is not among its channels");
}

bool Processes::refuse_closed(const Channel &channel, int32_t site) {
    if (!channel.closed()) {
        return false;
    }
    const auto index = static_cast<size_t>(site);
    const Loc at = index < graph_.sites.size() ? graph_.sites[index].at : current_->process->at;
    run_.fail(FailureKind::ChannelClosed, at,
              "process " + current_->process->name + " sends to channel " + channel.spec().name +
                  ", which is closed");
    return true;
}

bool Processes::run_processes(int32_t first, int32_t count) {
    if (asks_in_vain()) {
        return false;
    }
    const auto size = static_cast<int64_t>(states_.size());
    if (first < 1 || count < 0 || int64_t(first) + count > size) {
        fail("process " + current_->process->name + " starts processes " + std::to_string(first) +
             "..." + std::to_string(int64_t(first) + count - 1) + " of " + std::to_string(size));
        return true;
    }
    bool all_ended = true;
    for (int32_t i = first; i < first + count; i++) {
        State &state = states_[static_cast<size_t>(i)];
        if (!state.started) {
            start(state);
        }
        all_ended = all_ended && state.ended;
    }
    if (!all_ended) {
        current_->wait.what = Wait::For::Processes;
        current_->wait.first = first;
        current_->wait.count = count;
    }
    return all_ended;
}

bool Processes::may_send(int32_t channel, int32_t site) {
    if (asks_in_vain()) {
        return false;
    }
    const Channel *to = channel_of(channel, Sends);
    if (to == nullptr || refuse_closed(*to, site)) {
        return true;
    }
    if (!to->has_room()) {
        current_->wait.what = Wait::For::Room;
        current_->wait.site = site;
        current_->wait.channels.assign(1, channel);
        return false;
    }
    return true;
}

bool Processes::try_send(int32_t channel, int32_t site) {
    const Channel *to = asks_in_vain() ? nullptr : channel_of(channel, Sends);
    if (to == nullptr) {
        return false;
    }
    if (!to->spec().tried) {
        fail("process " + current_->process->name + " tries to send to channel " + to->spec().name +
             ", which was not made for it");
        return false;
    }
    if (refuse_closed(*to, site)) {
        return true;
    }
    const auto waits_for_token = [&](int number) {
        const Wait &wait = states_[static_cast<size_t>(number)].wait;
        return wait.what == Wait::For::Token &&
               std::find(wait.channels.begin(), wait.channels.end(), channel) !=
                   wait.channels.end();
    };
    return to->has_room() &&
           (to->spec().depth > 0 ||
            std::any_of(to->receivers().begin(), to->receivers().end(), waits_for_token));
}

int64_t Processes::next_token(int32_t channel) {
    const Channel *to = channel_of(channel, Sends);
    return to != nullptr && to->has_room() ? to->next_number() : 0;
}

int64_t Processes::send(int32_t channel, const int64_t *values, int32_t count) {
    Channel *to = channel_of(channel, Sends);
    if (to == nullptr || to->closed()) {
        return -1;
    }
    if (count != to->spec().value_count || !to->has_room()) {
        fail("process " + current_->process->name + " sends " + std::to_string(count) +
             " values to channel " + to->spec().name + ", expected " +
             std::to_string(to->spec().value_count) + (to->has_room() ? "" : " and room"));
        return -1;
    }
    current_->last_number = to->put(order_++, current_->last_task, values);
    current_->last_task = 0;
    wake_all(to->receivers(), Wait::For::Token);
    return current_->last_number;
}

bool Processes::taken(int32_t channel) {
    if (asks_in_vain()) {
        return false;
    }
    const Channel *to = channel_of(channel, Sends);
    if (to == nullptr || to->has_taken(current_->last_number)) {
        return true;
    }
    current_->wait.what = Wait::For::Taken;
    current_->wait.site = -1;
    current_->wait.channels.assign(1, channel);
    return false;
}

/// The channel to receive from, -1 when all are empty; `open` tells then whether one is not closed.
int32_t Processes::choose(const Tracking &tracking, std::span<const int32_t> channels, bool &open) {
    const auto front = [&](int32_t at) -> const Token & {
        return channels_[static_cast<size_t>(channels[static_cast<size_t>(at)])].front();
    };
    int32_t best = -1;
    bool best_ended = false;
    for (int32_t i = 0; i < static_cast<int32_t>(channels.size()); i++) {
        const Channel &from = channels_[static_cast<size_t>(channels[static_cast<size_t>(i)])];
        if (from.size() == 0) {
            open = open || !from.closed();
            continue;
        }
        const bool ended = channels.size() > 1 && tracking.has_ended(from.front().task);
        if (best < 0 || ended > best_ended ||
            (ended == best_ended && from.front().order < front(best).order)) {
            best = i;
            best_ended = ended;
        }
    }
    return best;
}

int32_t Processes::receive(const Tracking &tracking, std::span<const int32_t> channels,
                           std::span<int64_t> token) {
    if (asks_in_vain()) {
        return 0;
    }
    bool shared = false;
    for (int32_t channel : channels) {
        const Channel *from = channel_of(channel, Receives);
        if (from == nullptr) {
            return -1;
        }
        if (token.size() < 2 + static_cast<size_t>(from->spec().value_count)) {
            fail("process " + current_->process->name + " has " + std::to_string(token.size()) +
                 " words for a token of channel " + from->spec().name + ", expected " +
                 std::to_string(2 + from->spec().value_count));
            return -1;
        }
        body_over(*current_, channel);
        shared = shared || from->shared();
    }
    bool open = false;
    const int32_t which = choose(tracking, channels, open);
    if (which < 0 && !open) {
        return -1;
    }
    const bool busy = shared && current_->unfinished >= most_unfinished_bodies;
    if (which < 0 || busy) {
        Wait &wait = current_->wait;
        wait.what = busy ? Wait::For::Bodies : Wait::For::Token;
        wait.site = -1;
        wait.channels.assign(channels.begin(), channels.end());
        return 0;
    }
    const int32_t channel = channels[static_cast<size_t>(which)];
    Channel &from = channels_[static_cast<size_t>(channel)];
    token[0] = which;
    token[1] = from.front().number;
    const std::span<const int64_t> values = from.values();
    std::copy(values.begin(), values.end(), token.begin() + 2);
    const int64_t slot = from.take();
    if (from.watched()) {
        current_->bodies.push_back({channel, slot});
        slot_receiver_[static_cast<size_t>(first_slot_[static_cast<size_t>(channel)] + slot)] =
            current_;
    }
    wake_all(from.senders(), Wait::For::Taken);
    if (from.has_room()) {
        wake_all(from.senders(), Wait::For::Room);
    }
    return 1;
}

/// All tasks of the body, of the token that the process took last from the channel, have been
/// submitted.
void Processes::body_over(State &state, int32_t channel) {
    Channel &from = channels_[static_cast<size_t>(channel)];
    if (!from.watched()) {
        const bool had_room = from.has_room();
        from.body_over();
        if (!had_room && from.has_room()) {
            wake_all(from.senders(), Wait::For::Room);
        }
        return;
    }
    const auto body = std::find_if(state.bodies.begin(), state.bodies.end(),
                                   [&](const Body &held) { return held.channel == channel; });
    if (body != state.bodies.end()) {
        const int64_t slot = first_slot_[static_cast<size_t>(channel)] + body->slot;
        state.bodies.erase(body);
        state.unfinished += from.shared() ? 1 : 0;
        asked_.push_back(static_cast<int>(states_.size()) + static_cast<int>(slot));
    }
}

/// All tasks of the body that used the watched slot have ended.
void Processes::free_slot(int64_t watched) {
    const auto index = static_cast<size_t>(watched);
    const auto number = static_cast<size_t>(slot_channel_[index]);
    Channel &channel = channels_[number];
    State &receiver = *slot_receiver_[index];
    channel.body_ended(watched - first_slot_[number]);
    if (channel.shared()) {
        receiver.unfinished--;
        if (receiver.wait.what == Wait::For::Bodies) {
            wake(receiver);
        }
    }
    if (channel.has_room()) {
        wake_all(channel.senders(), Wait::For::Room);
    }
}

void Processes::close(int32_t channel) {
    const auto index = static_cast<size_t>(channel);
    if (index < channels_.size()) {
        close(channels_[index]);
    } else {
        refuse_channel(index, Sends);
    }
}

void Processes::close(Channel &channel) {
    channel.close();
    wake_all(channel.receivers(), Wait::For::Token);
    // So that they learn of it.
    wake_all(channel.senders(), Wait::For::Room);
}

}  // namespace pto::wsp::runtime
