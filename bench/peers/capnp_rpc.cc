/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

extern "C" {
#include "peers/capnp_rpc.h"
}

#include "capnp_bench.capnp.h"

#include <capnp/rpc-twoparty.h>
#include <kj/async-io.h>

#include <exception>

namespace
{

// Room for the data and for the struct that holds it: one segment, and no second allocation.
capnp::MessageSize room_for(size_t size)
{
    return {size / sizeof(capnp::word) + 16, 0};
}

bool check(capnp::Data::Reader data, size_t size, uint64_t number)
{
    return data.size() == size && message_check(data.begin(), size, number);
}

class Child final : public Bench::Server
{
  public:
    size_t size = 0;
    uint64_t number = 0;
    uint64_t count = 0; // of the phase that is under way
    kj::Own<kj::PromiseFulfiller<void>> finished;

    kj::Promise<void> echo(EchoContext context) override
    {
        auto data = context.getParams().getData();

        take_note(data);
        context.getResults(room_for(size)).setData(data);
        if (number == count)
            finish();
        return kj::READY_NOW;
    }

    kj::Promise<void> take(TakeContext context) override
    {
        take_note(context.getParams().getData());
        return kj::READY_NOW;
    }

    kj::Promise<void> done(DoneContext) override
    {
        KJ_REQUIRE(number == count, "messages are missing");
        finish();
        return kj::READY_NOW;
    }

  private:
    void take_note(capnp::Data::Reader data)
    {
        KJ_REQUIRE(check(data, size, number), "this is not the message that was sent");
        number++;
    }

    void finish()
    {
        number = 0;
        finished->fulfill();
    }
};

struct ChildEnd {
    Child &child;
    kj::WaitScope &wait_scope;
};

int phase(void *context, const struct task *task, uint64_t count)
{
    auto end = static_cast<ChildEnd *>(context);
    auto waiter = kj::newPromiseAndFulfiller<void>();

    end->child.size = task->size;
    end->child.count = count;
    end->child.finished = kj::mv(waiter.fulfiller);
    waiter.promise.wait(end->wait_scope);
    return 0;
}

struct ParentEnd {
    kj::AsyncIoContext io = kj::setupAsyncIo();
    kj::Own<kj::AsyncIoStream> stream;
    capnp::TwoPartyClient client;
    Bench::Client bench;
    const struct trial *trial;
    uint64_t asked = 0;

    ParentEnd(int fd, const struct trial *its_trial)
        : stream(io.lowLevelProvider->wrapSocketFd(fd)), client(*stream),
          bench(client.bootstrap().castAs<Bench>()), trial(its_trial)
    {
    }

    kj::Promise<void> ask(size_t size, uint64_t number)
    {
        auto request = bench.echoRequest(room_for(size));

        message_stamp(request.initData(size).begin(), size, number);
        return request.send().then([size, number](auto &&response) {
            KJ_REQUIRE(check(response.getData(), size, number), "this is another answer");
        });
    }

    // One of those that ask at the same time.
    kj::Promise<void> ask_on(size_t size, uint64_t count)
    {
        if (asked == count)
            return kj::READY_NOW;
        return ask(size, asked++).then([this, size, count] { return ask_on(size, count); });
    }
};

// Run what may throw.
template <typename Work> int guarded(const struct trial *trial, Work work)
{
    try {
        work();
        return 0;
    } catch (const kj::Exception &exception) {
        trial_fails(trial, "Cap'n Proto: %s", exception.getDescription().cStr());
        return -EIO;
    } catch (const std::exception &exception) {
        trial_fails(trial, "Cap'n Proto: %s", exception.what());
        return -EIO;
    }
}

} // namespace

int capnp_child(int fd, const struct trial *trial)
{
    int error = 0;
    int thrown = guarded(trial, [&] {
        auto io = kj::setupAsyncIo();
        auto stream = io.lowLevelProvider->wrapSocketFd(fd);
        auto child = kj::heap<Child>();
        ChildEnd end{*child, io.waitScope};
        capnp::TwoPartyClient connection(*stream, kj::mv(child),
                                         capnp::rpc::twoparty::Side::SERVER);

        error = side_serve(trial, phase, &end);
        // The last answer has yet to be written.
        if (error == 0)
            connection.onDisconnect().wait(io.waitScope);
    });

    return thrown < 0 ? thrown : error;
}

int capnp_open(void **ret, int fd, const struct trial *trial)
{
    return guarded(trial, [&] { *ret = new ParentEnd(fd, trial); });
}

int capnp_round_trip(void *context, size_t size, uint64_t count)
{
    auto end = static_cast<ParentEnd *>(context);

    return guarded(end->trial, [&] {
        for (uint64_t i = 0; i < count; i++)
            end->ask(size, i).wait(end->io.waitScope);
    });
}

int capnp_one_way(void *context, size_t size, uint64_t count, bool)
{
    auto end = static_cast<ParentEnd *>(context);

    return guarded(end->trial, [&] {
        for (uint64_t i = 0; i < count; i++) {
            auto request = end->bench.takeRequest(room_for(size));

            message_stamp(request.initData(size).begin(), size, i);
            request.send().wait(end->io.waitScope);
        }
        end->bench.doneRequest().send().wait(end->io.waitScope);
    });
}

int capnp_calls(void *context, size_t size, uint64_t count, bool)
{
    auto end = static_cast<ParentEnd *>(context);

    return guarded(end->trial, [&] {
        auto askers = kj::heapArrayBuilder<kj::Promise<void>>(CALLS_OPEN);

        end->asked = 0;
        for (int i = 0; i < CALLS_OPEN; i++)
            askers.add(end->ask_on(size, count));
        kj::joinPromises(askers.finish()).wait(end->io.waitScope);
    });
}

void capnp_close(void *context)
{
    delete static_cast<ParentEnd *>(context);
}
