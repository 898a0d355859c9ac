namespace Sallyport.Client.Device;

/// <summary>The hub does not let the device in: no such device, disabled, or the key is not its own.</summary>
public sealed class DeviceRefusedException(string message) : Exception(message);
