namespace Sallyport.Heads.Connections;

/// <summary>The peer sent a WebSocket message that is not binary: an offence in every protocol that is carried so.</summary>
public sealed class NonBinaryMessageException() : Exception("a WebSocket message that is not binary");
