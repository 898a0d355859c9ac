using System.Threading.Channels;

namespace Sallyport.Client.Events;

/// <summary>
/// What an <see cref="EventConsumer"/> is to read and to ask. Anybody posts; all else is its loop's. Bounded by those who wait for it: each reading and
/// each question is somebody's call.
/// </summary>
internal sealed class EventWork
{
    private readonly Channel<object> _posted = Channel.CreateUnbounded<object>(new UnboundedChannelOptions { SingleReader = true });
    private readonly List<PartitionReading> _readings = [];
    private readonly List<ManagementQuestion> _questions = [];
    private volatile bool _isOver;

    public IReadOnlyList<PartitionReading> Readings => _readings;

    public IReadOnlyList<ManagementQuestion> Questions => _questions;

    /// <summary>The consumer was disposed.</summary>
    public bool IsOver => _isOver;

    /// <summary>There is a new question, or a new reading, or one that is to be looked at again. False when the consumer was disposed.</summary>
    public bool Post(object questionOrReading) => _posted.Writer.TryWrite(questionOrReading);

    /// <summary>Nothing more is posted.</summary>
    public void Complete()
    {
        _isOver = true;
        _posted.Writer.TryComplete();
    }

    /// <summary>Completes when something was posted, or the consumer disposed.</summary>
    public Task PostedAsync(CancellationToken cancel) => _posted.Reader.WaitToReadAsync(cancel).AsTask();

    /// <summary>Waits until there is something to do; false when the consumer was disposed.</summary>
    public async Task<bool> AnyAsync(CancellationToken stop)
    {
        while (!_isOver)
        {
            Take();
            if (_readings.Count + _questions.Count > 0)
                return true;
            await PostedAsync(stop).ConfigureAwait(false);
        }

        return false;
    }

    /// <summary>Takes what was posted, and ends readings that nobody takes events of any more.</summary>
    public void Take()
    {
        while (_posted.Reader.TryRead(out var one))
        {
            if (one is ManagementQuestion question)
                _questions.Add(question);
            else if (one is PartitionReading { IsOver: false } reading && !_readings.Contains(reading))
                _readings.Add(reading);
        }

        for (var i = _readings.Count - 1; i >= 0; i--)
        {
            if (!_readings[i].IsLeft)
                continue;
            _readings[i].Detach();
            _readings.RemoveAt(i);
        }
    }

    public void Answered(ManagementQuestion question) => _questions.Remove(question);

    public void Fail(PartitionReading reading, Exception reason)
    {
        _readings.Remove(reading);
        reading.Fail(reason);
    }

    public void FailAll(Exception reason)
    {
        Take();
        foreach (var reading in _readings)
            reading.Fail(reason);
        foreach (var question in _questions)
            question.Fail(reason);
        _readings.Clear();
        _questions.Clear();
    }
}
